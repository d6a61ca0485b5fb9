//! States that are copied over others, again and again.

/// Implements `Clone` for a state of these fields so that `clone_from` uses the memory of what it
/// overwrites: an explorer copies states by the million.
macro_rules! overwritable {
    ($state:ident $(<$of:ident>)? { $($field:ident),* $(,)? }) => {
        impl $(<$of: Clone>)? Clone for $state $(<$of>)? {
            fn clone(&self) -> Self {
                Self { $($field: self.$field.clone()),* }
            }

            fn clone_from(&mut self, other: &Self) {
                $(self.$field.clone_from(&other.$field);)*
            }
        }
    };
}

pub(crate) use overwritable;
