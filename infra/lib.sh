# shellcheck shell=bash
# What the commands of this repository share. The rule: say what is done before it is done, install only what is
# missing and only by its name, and end with a sentence that tells what to do next.

say() { printf '==> %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Puts rustup's default folder on the path where the shell has not done so (a fresh login, a CI machine).
find_cargo() {
  local folder="${CARGO_HOME:-${HOME:-}/.cargo}/bin"
  if ! command -v cargo >/dev/null && [ -x "$folder/cargo" ]; then
    PATH="$folder:$PATH"
  fi
  command -v cargo >/dev/null || fail "cargo is not installed. Install Rust with rustup (https://rustup.rs), then run this again."
}

# apt_install PACKAGE...: installs Debian packages, as root; anyone else is told which ones.
apt_install() {
  command -v apt-get >/dev/null || fail "missing: $* (Debian's names). Install them, then run this again."
  [ "$(id -u)" -eq 0 ] || fail "missing: $*. Run 'sudo apt-get install $*', then this again."
  say "installing $* with apt-get"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# install_missing COMMAND=PACKAGE...: installs the package of each command that is missing.
install_missing() {
  local pair packages=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
  done
  [ "${#packages[@]}" -eq 0 ] || apt_install "${packages[@]}"
}

# Everything that the workspace needs to compile.
need_rust_build() {
  [ "$(uname -s)" = Linux ] || fail "the edge runs on Linux (its hubs wait with epoll); use a Linux machine or container."
  find_cargo
  install_missing cc=build-essential cmake=cmake
}

# A virtual environment of Python in .tools/venv, for tools that come from PyPI.
install_venv() {
  local venv=.tools/venv
  install_missing python3=python3
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed; $(python3 --version) is installed."
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    # Debian ships ensurepip, which makes the pip of a virtual environment, as a package of its own.
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    python3 -m venv --clear "$venv"
  fi
}

# install_requirements FILE [OPTION...]: the packages of a file, into the virtual environment.
install_requirements() {
  local file="$1" installed
  installed=".tools/venv/.$(printf '%s' "$file" | tr / -)"
  shift
  cmp --silent "$file" "$installed" && return
  .tools/venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" --requirement "$file"
  cp "$file" "$installed"
}

# Without zig, which comes with it: that builds functions for other machines.
install_cargo_lambda() { install_requirements tests/cargo-lambda/requirements.txt --no-deps; }

install_dynamodb_local() {
  local folder=.tools/dynamodb-local pom=tests/dynamodb-local/pom.xml version
  install_missing java=default-jre-headless mvn=maven
  version="$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')"
  [ "${version:-0}" -ge 17 ] || fail "DynamoDB Local needs Java 17 or newer; Java ${version:-of an unknown version} is installed."
  cmp --silent "$pom" "$folder/.pom-installed" && return
  rm -rf "$folder"
  mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies -DincludeScope=runtime \
    "-DoutputDirectory=$PWD/$folder"
  cp "$pom" "$folder/.pom-installed"
}

nats_version=2.15.2

has_nats_server() { [ "$(.tools/bin/nats-server --version 2>/dev/null)" = "nats-server: v$nats_version" ]; }

# find_go: puts Go on the path where it is not, and answers whether it is new enough. What it finds is in go_found.
find_go() {
  # Where the archive of go.dev is unpacked by its own instructions.
  if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
    PATH="/usr/local/go/bin:$PATH"
  fi
  go_found="$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)" || go_found='no Go'
  [[ "$go_found" =~ ^go([0-9]+)\.([0-9]+) ]] && [ $((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2])) -ge 1026 ]
}

# What install_nats_server cannot install by itself: Debian's Go is too old to build this version, the one that everything
# is tested with. Asked before anything that takes long.
need_nats_build() {
  has_nats_server || find_go ||
    fail "nats-server $nats_version is built with Go 1.26 or newer; $go_found is installed. Install Go (https://go.dev/dl), or put that nats-server at .tools/bin/nats-server, then run this again."
}

install_nats_server() {
  has_nats_server && return
  need_nats_build
  say "building nats-server $nats_version with go, which takes some minutes"
  GOBIN="$PWD/.tools/bin" go install "github.com/nats-io/nats-server/v2@v$nats_version"
}

# npm_ci FOLDER: what its lock file names, unless that is there.
npm_ci() {
  local lock="$1/package-lock.json" installed="$1/node_modules/.lock-installed"
  cmp --silent "$lock" "$installed" && return
  (cd "$1" && npm ci --no-audit --no-fund)
  cp "$lock" "$installed"
}

# The servers on Node.js that the benchmark measures beside the edge.
install_node_peers() {
  install_missing node=nodejs npm=npm
  npm_ci tests/bench/peers/node
}

# nginx with the module that the benchmark measures. In run level 1 its package does not start a server of its own.
install_nchan() {
  [ -x /usr/sbin/nginx ] && [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] && return
  RUNLEVEL=1 apt_install nginx libnginx-mod-nchan
}

# The server around Centrifugo's engine that the benchmark measures.
install_centrifuge() {
  find_go || fail "the server around centrifuge is built with Go 1.26 or newer; $go_found is installed."
  go build -C tests/bench/peers/centrifuge -o "$PWD/.tools/bin/centrifuge-server" .
}

# listens PORT: whether something accepts connections on this port of the loopback interface.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
