//! Panics that are looked at instead of passed on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Acts; a panic is a broken rule like any other.
///
/// # Errors
///
/// What the act says, and what it panics with.
pub fn contained<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let done = catch_unwind(AssertUnwindSafe(act));
    done.unwrap_or_else(|panic| Err(format!("panicked: {}", message(&*panic))))
}

/// Acts on each of these, whatever the others come to.
///
/// # Errors
///
/// What the first panic said.
pub fn each_contained<T>(all: impl IntoIterator<Item = T>, act: impl Fn(T)) -> Result<(), String> {
    let mut first = Ok(());
    for one in all {
        let acted = contained(|| {
            act(one);
            Ok(())
        });
        first = first.and(acted);
    }
    first
}

/// What a panic said.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
