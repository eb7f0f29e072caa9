//! What a caller wants of a token.

use super::keys::{self, Key, Material};
use super::token::Members;
use super::usable;
use crate::{Context, Error, Value};

const NANOS: f64 = 1e9;

#[derive(Default)]
pub(super) struct Constraints {
    /// One of these has signed it.
    pub(super) keys: Vec<Key>,
    algorithm: String,
    issuer: String,
    audience: String,
    /// Seconds since 1970.
    now: f64,
}

impl Constraints {
    pub(super) fn of(context: &Context, value: &Value) -> Result<Constraints, Error> {
        let Value::Object(members) = value else {
            return Err(crate::arguments::wrong(value, 2, "object"));
        };
        let mut constraints = Constraints { now: context.now_ns as f64 / NANOS, ..Constraints::default() };
        let mut certified = None;
        let mut secret = String::new();
        for (name, value) in members {
            let name = name.as_str().ok_or("unknown token validation constraint")?;
            let text = || value.as_str().ok_or_else(|| Error::from(format!("{name} constraint: must be a string")));
            match name {
                "cert" => certified = Some(usable(keys::read(context, text()?)?)),
                "secret" => secret = text()?.to_owned(),
                "alg" => constraints.algorithm = text()?.to_owned(),
                "iss" => constraints.issuer = text()?.to_owned(),
                "aud" => constraints.audience = text()?.to_owned(),
                "time" => {
                    let time = value.as_number().ok_or("token time constraint: must be a number")?.as_f64();
                    if time < 0.0 {
                        return Err("token time constraint: must not be negative".into());
                    }
                    constraints.now = time / NANOS;
                }
                _ => return Err(format!("unknown token validation constraint: {name}").into()),
            }
        }
        constraints.keys = match (certified, secret.as_str()) {
            (Some(keys), "") => keys,
            (None, "") => return Err("no key constraint".into()),
            (Some(_), _) => return Err("duplicate key constraints".into()),
            (None, secret) => {
                let material = Material::Secret(secret.as_bytes().to_vec());
                vec![Key { algorithm: None, id: None, material, private: Vec::new() }]
            }
        };
        Ok(constraints)
    }

    pub(super) fn allow_algorithm(&self, name: &str) -> bool {
        self.algorithm.is_empty() || self.algorithm == name
    }

    /// Whether issuer, audience and times of a payload are as wanted.
    pub(super) fn allow(&self, payload: &Members) -> Result<bool, Error> {
        let claim = |name: &str| payload.get(&Value::from(name));
        if !self.issuer.is_empty() {
            let issuer = claim("iss").map(|issuer| issuer.as_str().ok_or("iss value must be a string"));
            if issuer.transpose()? != Some(&self.issuer) {
                return Ok(false);
            }
        }
        let audience = match claim("aud") {
            Some(Value::Array(members)) => members.iter().any(|member| member.as_str() == Some(&self.audience)),
            Some(audience) => audience.as_str() == Some(&self.audience),
            None => self.audience.is_empty(),
        };
        if !audience {
            return Ok(false);
        }
        let seconds = |name: &str| {
            let number = claim(name).map(|value| value.as_number().ok_or(format!("{name} value must be a number")));
            number.transpose().map(|number| number.map(|number| number.as_f64()))
        };
        if seconds("exp")?.is_some_and(|end| self.now >= end) {
            return Ok(false);
        }
        Ok(seconds("nbf")?.is_none_or(|start| self.now >= start))
    }
}
