//! `client/src/http.gen.ts`: what the HTTP calls answer, for the browser and for servers in Node. The rule: the file is
//! what the Rust types say, and a test compares the two.

use super::trigger::{Counted, Replayable, Results};
use super::{content, status};

#[path = "../../../shared/src/typescript.rs"]
mod typescript;

use typescript::{check, declaration};

const IMPORTS: &str = "import type { ErrorBody, Field, Rating } from './wire.gen'\n\n";

#[test]
fn the_clients_types_are_those_of_the_answers() {
    let types = [
        declaration::<content::Body<'_>>(),
        declaration::<content::Row<'_>>(),
        declaration::<Counted<'_>>(),
        declaration::<Results>(),
        declaration::<Replayable<()>>(),
        declaration::<status::Body>(),
        declaration::<status::Report>(),
    ];
    check("http.gen.ts", "lambda-trigger", &format!("{IMPORTS}{}\n", types.concat().trim_end()));
}
