//! A DNS world in virtual time.
