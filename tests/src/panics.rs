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

/// What a panic said.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
