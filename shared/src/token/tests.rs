//! Tokens that verify and tokens that do not, each refused for its own reason.

use jsonwebtoken::crypto::sign;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const NOW_MS: u64 = 1_700_000_000_000;
/// An hour after [`NOW_MS`], in seconds.
const LATER: u64 = 1_700_003_600;

fn verifier() -> Verifier {
    Verifier::hs256(SECRET, Expectations::default()).expect("the secret is long enough")
}

/// `base64url(json)`: the middle part of a token with these claims.
fn part(json: &Value) -> String {
    let token = jsonwebtoken::encode(&Header::default(), json, &EncodingKey::from_secret(SECRET));
    let token = token.expect("HS256 signs anything");
    token.split('.').nth(1).expect("a token has three parts").to_owned()
}

/// A token with exactly this header, signed by HS256 whatever the header says.
fn token_with(header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    format!("{message}.{}", signature.expect("HS256 signs anything"))
}

fn token(claims: &Value) -> String {
    token_with(&json!({"alg": "HS256", "typ": "JWT"}), claims)
}

/// Verifies a token with the claims given and a good `exp` unless they bring their own.
fn verify(claims: Value) -> Result<Claims, TokenError> {
    let mut with_exp = json!({"exp": LATER});
    for (name, value) in claims.as_object().expect("claims are an object") {
        with_exp[name.as_str()] = value.clone();
    }
    verifier().verify_at(&token(&with_exp), NOW_MS)
}

fn refused_claim(claims: Value) -> &'static str {
    match verify(claims.clone()) {
        Err(TokenError::Claim { claim, .. }) => claim,
        other => panic!("{claims} gave {other:?}"),
    }
}

#[test]
fn a_good_token_says_whose_it_is_and_what_it_may() {
    let claims = json!({
        "sub": "user-1", "organizationId": "acme", "clientId": "web", "scope": "openid analytics:write",
        "name": "ignored", "iat": "ignored too",
    });
    let claims = verify(claims).expect("everything is in order");
    assert_eq!(claims.subject.as_deref(), Some("user-1"));
    assert_eq!(claims.scope.organization().map(Id::as_str), Some("acme"));
    assert_eq!(claims.scope.client().map(Id::as_str), Some("web"));
    assert_eq!(claims.writes, Writes::Covered);
    assert_eq!(claims.expires_at, LATER * 1_000);
    assert_eq!(claims.authority(), Authority::of_claims(claims.scope.clone(), Writes::Covered));

    let least = verify(json!({})).expect("only exp is required");
    assert_eq!((least.subject, least.scope, least.writes), (None, Scope::public(), Writes::Nothing));
}

#[test]
fn the_system_clock_decides_where_no_time_is_given() {
    assert!(verifier().verify(&token(&json!({"exp": 9_007_199_254_740u64}))).is_ok());
    assert_eq!(verifier().verify(&token(&json!({"exp": 1}))), Err(TokenError::Expired));
}

#[test]
fn a_changed_token_does_not_verify() {
    let good = token(&json!({"exp": LATER, "organizationId": "acme"}));
    let forged = part(&json!({"exp": LATER, "organizationId": "evil"}));
    let parts: Vec<&str> = good.split('.').collect();
    let swapped = format!("{}.{forged}.{}", parts[0], parts[2]);
    assert_eq!(verifier().verify_at(&swapped, NOW_MS), Err(TokenError::Signature));

    let other = Verifier::hs256(b"another secret that is long enough", Expectations::default());
    let other = other.expect("the secret is long enough");
    assert_eq!(other.verify_at(&good, NOW_MS), Err(TokenError::Signature));
    // A wrong signature is never reported as anything else, so nobody can probe claims with it.
    assert_eq!(other.verify_at(&token(&json!({"exp": 1})), NOW_MS), Err(TokenError::Signature));

    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(verifier().verify_at(&unsigned, NOW_MS), Err(TokenError::Signature));
    for text in ["", ".", "..", "a.b", "a.b.c", &good[1..], &format!("{good}.x"), &format!(" {good}")] {
        assert_eq!(verifier().verify_at(text, NOW_MS), Err(TokenError::Malformed), "{text}");
    }
}

#[test]
fn the_header_does_not_choose_the_algorithm() {
    let claims = json!({"exp": LATER});
    for algorithm in ["RS256", "HS384", "ES256", "EdDSA"] {
        let confused = token_with(&json!({"alg": algorithm}), &claims);
        assert_eq!(verifier().verify_at(&confused, NOW_MS), Err(TokenError::Algorithm), "{algorithm}");
    }
    for algorithm in [json!("none"), json!("None"), json!("hs256"), json!(""), Value::Null] {
        let unsigned = format!("{}.{}.", part(&json!({"alg": algorithm})), part(&claims));
        assert_eq!(verifier().verify_at(&unsigned, NOW_MS), Err(TokenError::Malformed), "{algorithm}");
        let signed = token_with(&json!({"alg": algorithm}), &claims);
        assert_eq!(verifier().verify_at(&signed, NOW_MS), Err(TokenError::Malformed), "{algorithm}");
    }
}

#[test]
fn critical_extensions_are_refused() {
    let token = token_with(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &json!({"exp": LATER}));
    assert_eq!(verifier().verify_at(&token, NOW_MS), Err(TokenError::Malformed));
}

#[test]
fn a_token_ends_at_its_instant() {
    let token = token(&json!({"exp": LATER}));
    let end = LATER * 1_000;
    assert!(verifier().verify_at(&token, end - 1).is_ok());
    assert_eq!(verifier().verify_at(&token, end), Err(TokenError::Expired));
    assert_eq!(verifier().verify_at(&token, u64::MAX), Err(TokenError::Expired));
}

#[test]
fn an_expired_token_that_is_also_wrong_is_not_called_expired() {
    let expired = json!({"exp": 1, "clientId": "web"});
    assert_eq!(refused_claim(expired), "clientId");
    let expired = json!({"exp": 1, "aud": "elsewhere"});
    assert_eq!(verify(expired), Err(TokenError::Audience));
}

#[test]
fn a_token_begins_within_the_leeway() {
    let begin = NOW_MS / 1_000 + NOT_BEFORE_LEEWAY_MS / 1_000;
    assert!(verify(json!({"nbf": begin})).is_ok());
    assert_eq!(verify(json!({"nbf": begin + 1})), Err(TokenError::NotYetValid));
    assert!(verify(json!({"nbf": 0})).is_ok());
}

#[test]
fn the_end_is_required_and_an_integer() {
    assert_eq!(verifier().verify_at(&token(&json!({})), NOW_MS), Err(absent("exp")));
    for exp in [json!(1.5), json!(LATER as f64), json!(-1), json!("9999999999"), Value::Null, json!(u64::MAX)] {
        assert_eq!(refused_claim(json!({"exp": exp})), "exp");
        assert_eq!(refused_claim(json!({"nbf": exp})), "nbf");
    }
    assert!(verify(json!({"exp": 9_007_199_254_740u64})).is_ok());
    assert_eq!(refused_claim(json!({"exp": 9_007_199_254_741u64})), "exp");
}

#[test]
fn issuer_and_audience_are_those_expected() {
    let expected = Expectations { issuer: Some("us".into()), audience: Some("edge".into()) };
    let verifier = Verifier::hs256(SECRET, expected).expect("the secret is long enough");
    let verify = |claims: Value| verifier.verify_at(&token(&claims), NOW_MS).map(|_| ());
    assert_eq!(verify(json!({"exp": LATER, "iss": "us", "aud": "edge"})), Ok(()));
    assert_eq!(verify(json!({"exp": LATER, "iss": "us", "aud": ["site", "edge"]})), Ok(()));
    assert_eq!(verify(json!({"exp": LATER, "iss": "them", "aud": "edge"})), Err(TokenError::Issuer));
    assert_eq!(verify(json!({"exp": LATER, "iss": "us", "aud": "edges"})), Err(TokenError::Audience));
    assert_eq!(verify(json!({"exp": LATER, "iss": "us", "aud": ["site"]})), Err(TokenError::Audience));
    assert_eq!(verify(json!({"exp": LATER, "aud": "edge"})), Err(absent("iss")));
    assert_eq!(verify(json!({"exp": LATER, "iss": "us"})), Err(absent("aud")));
}

#[test]
fn without_expectations_any_issuer_and_no_audience() {
    assert!(verify(json!({"iss": "anyone"})).is_ok());
    assert_eq!(verify(json!({"aud": "elsewhere"})), Err(TokenError::Audience));
}

#[test]
fn a_wrong_type_or_an_empty_value_names_its_claim() {
    for wrong in [json!(""), json!(1), json!(true), json!({}), Value::Null] {
        for claim in ["iss", "aud", "sub", "organizationId", "scope"] {
            assert_eq!(refused_claim(json!({ claim: wrong })), claim);
        }
        assert_eq!(refused_claim(json!({"organizationId": "acme", "clientId": wrong})), "clientId");
    }
    for wrong in [json!([]), json!([""]), json!(["a", 1]), json!([["a"]])] {
        assert_eq!(refused_claim(json!({"aud": wrong})), "aud");
        assert_eq!(refused_claim(json!({"scope": wrong})), "scope");
    }
    for claim in ["iss", "sub", "organizationId"] {
        assert_eq!(refused_claim(json!({ claim: ["acme"] })), claim);
    }
    assert_eq!(refused_claim(json!({"organizationId": "a\nb"})), "organizationId");
    assert_eq!(refused_claim(json!({"organizationId": "x".repeat(257)})), "organizationId");
    assert_eq!(refused_claim(json!({"scope": "  "})), "scope");
}

#[test]
fn a_client_stands_beside_an_organization() {
    let error = verify(json!({"clientId": "web"})).expect_err("no organization");
    assert_eq!(error.to_string(), "the token's claim clientId must be accompanied by an organizationId");
}

#[test]
fn scope_words_are_whole_words() {
    let writes = |scope: Value| verify(json!({"scope": scope})).expect("the scope is well formed").writes;
    for nothing in [json!("openid"), json!("analytics:writes"), json!("Analytics:Write"), json!("analytics:write\tx")] {
        assert_eq!(writes(nothing), Writes::Nothing);
    }
    for covered in [json!("analytics:write"), json!("  a  analytics:write "), json!(["analytics:write", "x"])] {
        assert_eq!(writes(covered), Writes::Covered);
    }
    for any in [json!("analytics:write:any"), json!("analytics:write analytics:write:any")] {
        assert_eq!(writes(any), Writes::Any);
    }
    assert_eq!(writes(json!(["analytics:write:any"])), Writes::Any);
    // A member of an array is one word; it is not split again.
    assert_eq!(writes(json!(["openid analytics:write"])), Writes::Nothing);
}

#[test]
fn a_weak_secret_is_refused() {
    assert_eq!(Verifier::hs256(&SECRET[1..], Expectations::default()).map(|_| ()), Err(WeakSecret));
}

#[test]
fn nothing_shows_secret_or_token() {
    let shown = format!("{:?}", verifier());
    assert!(!shown.contains("0123456789") && !shown.contains("48, 49"), "{shown}");
    let token = token(&json!({"exp": LATER, "sub": "", "secret-claim": "secret-value"}));
    let error = verifier().verify_at(&token, NOW_MS).expect_err("sub is empty");
    for part in token.split('.').chain(["secret-claim", "secret-value"]) {
        assert!(!error.to_string().contains(part));
        assert!(!format!("{error:?}").contains(part));
    }
}
