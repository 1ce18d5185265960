//! Rust types as TypeScript, for the tests that keep the client's generated files true. The rule: the same types give
//! the same text, laid out so that a change of one field is a change of one line.
//!
//! Compiled for tests alone, here and (by its path) in the crates above, whose tests do not see this crate's own.

use std::path::Path;
use std::{env, fs};

use ts_rs::{Config, TS};

/// The longest line that lists a union's members beside each other.
const LINE: usize = 100;

/// Compares a file of `client/src` with what it must be; writes it instead where `ANALYTICS_WRITE_GENERATED` is set.
pub(crate) fn check(file: &str, of_crate: &str, text: &str) {
    let command = format!("ANALYTICS_WRITE_GENERATED=1 cargo test -p {of_crate} generated");
    let head = format!(
        "// Generated from the Rust types of `{of_crate}` by `{command}`.\n\
         // The rule: nobody edits this file; a test fails as soon as it is not what the Rust types say.\n\n",
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/src").join(file);
    let text = head + text;
    if env::var_os("ANALYTICS_WRITE_GENERATED").is_some_and(|set| !set.is_empty()) {
        fs::write(&path, text).expect("the client's sources can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "client/src/{file} is not what the Rust types say; renew it with: {command}");
}

/// The exported declaration of a type, with its documentation.
pub(crate) fn declaration<T: TS>() -> String {
    // Every integer of the wire fits a JavaScript number.
    let declared = T::decl(&Config::new().with_large_int("number"));
    let (name, body) = declared.trim_end_matches(';').split_once(" = ").expect("a declaration has a body");
    format!("{}export {name} ={}\n\n", comment(&T::docs().unwrap_or_default(), ""), union(body))
}

/// A union's members beside each other if they are few and short, else one below the other.
fn union(body: &str) -> String {
    let members = members(body);
    let beside = members.join(" | ");
    if members.len() == 1 {
        return format!(" {}", object_type(body, ""));
    }
    if beside.len() < LINE && !beside.contains('{') {
        return format!(" {}", beside.replace('"', "'"));
    }
    members.iter().map(|member| format!("\n  | {}", object_type(member, "    "))).collect()
}

/// Splits at the bars that stand outside of all brackets.
fn members(body: &str) -> Vec<&str> {
    let (mut members, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in body.char_indices() {
        match character {
            '{' | '<' | '(' => depth += 1,
            '}' | '>' | ')' => depth -= 1,
            '|' if depth == 0 => {
                members.push(body[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    members.push(body[start..].trim());
    members
}

/// One field a line, each after its documentation; what is no object with fields stays on its line.
fn object_type(text: &str, indent: &str) -> String {
    let text = text.replace('"', "'");
    let Some((before, fields)) = text.split_once("{ ").filter(|(_, fields)| !fields.starts_with('[')) else {
        return text;
    };
    let (fields, after) = fields.rsplit_once('}').expect("an object ends");
    let inner = format!("{indent}  ");
    let mut laid_out = String::new();
    let mut rest = fields.trim();
    while !rest.is_empty() {
        if let Some((docs, next)) = rest.strip_prefix("/**").and_then(|docs| docs.split_once("*/")) {
            laid_out += &comment(docs, &inner);
            rest = next.trim_start();
            continue;
        }
        let (field, next) = rest.split_once(',').unwrap_or((rest, ""));
        // The tag of a union comes quoted; it needs no quotes.
        laid_out += &format!("{inner}{}\n", field.trim().replacen("'type'", "type", 1));
        rest = next.trim_start();
    }
    format!("{before}{{\n{laid_out}{indent}}}{after}")
}

/// The first paragraph of a documentation, on one line.
fn comment(docs: &str, indent: &str) -> String {
    let lines = docs.lines().map(|line| line.trim().trim_start_matches("/**").trim_end_matches("*/"));
    let lines = lines.map(|line| line.trim().trim_start_matches('*').trim());
    let paragraph: Vec<&str> = lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    if paragraph.is_empty() { String::new() } else { format!("{indent}/** {} */\n", paragraph.join(" ")) }
}
