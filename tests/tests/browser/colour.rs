//! What can be read on what: the contrast of two colours, as WCAG 2.1 defines it.

use serde_json::Value;

/// A colour as the browser computes it: `rgb(r, g, b)`.
pub(crate) fn of(value: &Value) -> [f64; 3] {
    let text = value.as_str().expect("a colour is text");
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    let parts = inner.unwrap_or_else(|| panic!("{text} is no opaque colour")).split(", ");
    let parts: Vec<f64> = parts.map(|part| part.parse().expect("a number")).collect();
    parts.try_into().expect("three parts")
}

fn luminance(colour: [f64; 3]) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = part / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

pub(crate) fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}
