//! The corpus of every fuzzer, and some bytes at random.

use std::fs;
use std::path::Path;

use qorb_core::dice::Dice;
use qorb_tests::fuzz::TARGETS;

#[test]
fn every_corpus_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let inputs: Vec<_> = fs::read_dir(folder.join(name)).expect("every target has a corpus").collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in inputs {
            target(&fs::read(input.expect("an entry can be read").path()).expect("an input can be read"));
        }
    }
}

#[test]
fn bytes_at_random_are_survived() {
    let mut dice = Dice::Seeded(11);
    for (_, target) in TARGETS {
        for _ in 0..100 {
            let length = dice.below(200);
            let bytes: Vec<_> = (0..length).map(|_| dice.draw() as u8).collect();
            target(&bytes);
        }
    }
}
