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

# listens PORT: whether something accepts connections on this port of the loopback interface.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
