//! What JSON has no form for: arrays of any length.

/// An array as a list.
pub(crate) mod array {
    use alloc::vec::Vec;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T, S, const N: usize>(array: &[T; N], to: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        to.collect_seq(array)
    }

    pub(crate) fn deserialize<'de, T, D, const N: usize>(from: D) -> Result<[T; N], D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let list = Vec::deserialize(from)?;
        let length = list.len();
        list.try_into().map_err(|_| D::Error::invalid_length(length, &"a list of the array's length"))
    }
}
