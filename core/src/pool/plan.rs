//! What ought to be: from a census to wishes, without a state and without a clock.

use alloc::vec::Vec;

use super::set::Standing;

/// What the plan has to know of one backend. The census lists them in rendezvous order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    pub(crate) standing: Standing,
    /// The most slots it can hold at present.
    pub(crate) limit: u32,
}

/// What the plan wants of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wish {
    /// How many slots it should have.
    pub(crate) share: u32,
    /// Whether it should be probed as soon as it may.
    pub(crate) probe: bool,
}

/// Divides `target` slots over the backends of a census.
///
/// Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998)
/// with a subset: the first `target` backends that are not down are served, those untried among them
/// are probed, and so are the ones down that come before the last of them. Those that are up share the
/// target equally by largest remainder, each within its limit.
pub(crate) fn plan(census: &[Candidate], target: u32) -> Vec<Wish> {
    let mut wishes = alloc::vec![Wish::default(); census.len()];
    let mut served = Vec::new();
    let mut chosen = 0;
    for (index, candidate) in census.iter().enumerate() {
        if chosen == target {
            break;
        }
        match candidate.standing {
            Standing::Up => served.push(index),
            Standing::Untried | Standing::Down => wishes[index].probe = true,
        }
        if candidate.standing != Standing::Down {
            chosen += 1;
        }
    }
    // Those that can take least choose first, so that what they cannot take goes to the others; among
    // equals the last in order does, so that the remainder goes to the first.
    served.sort_by_key(|&index| (census[index].limit, core::cmp::Reverse(index)));
    let mut left = target;
    for (taken, &index) in served.iter().enumerate() {
        let equal = left / (served.len() - taken) as u32;
        wishes[index].share = equal.min(census[index].limit);
        left -= wishes[index].share;
    }
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Candidate = Candidate { standing: Standing::Up, limit: 16 };
    const DOWN: Candidate = Candidate { standing: Standing::Down, limit: 16 };
    const NEW: Candidate = Candidate { standing: Standing::Untried, limit: 16 };

    fn at_most(limit: u32) -> Candidate {
        Candidate { limit, ..UP }
    }

    fn shares(census: &[Candidate], target: u32) -> Vec<u32> {
        plan(census, target).iter().map(|wish| wish.share).collect()
    }

    fn probed(census: &[Candidate], target: u32) -> Vec<bool> {
        plan(census, target).iter().map(|wish| wish.probe).collect()
    }

    #[test]
    fn shares_are_equal_with_the_remainder_to_the_first() {
        assert_eq!(shares(&[UP, UP, UP], 8), [3, 3, 2]);
        assert_eq!(shares(&[UP, UP, UP], 9), [3, 3, 3]);
        assert_eq!(shares(&[UP], 8), [8]);
        assert_eq!(shares(&[], 8), [0; 0]);
    }

    #[test]
    fn only_as_many_as_the_target_are_served() {
        assert_eq!(shares(&[UP, UP, UP], 2), [1, 1, 0]);
        assert_eq!(shares(&[UP, UP, UP], 0), [0, 0, 0]);
    }

    #[test]
    fn what_one_cannot_take_goes_to_the_others() {
        assert_eq!(shares(&[at_most(1), UP, UP], 9), [1, 4, 4]);
        assert_eq!(shares(&[UP, at_most(0), UP], 9), [5, 0, 4]);
        assert_eq!(shares(&[at_most(2), at_most(3)], 9), [2, 3]);
    }

    #[test]
    fn the_down_take_no_share_and_push_nobody_out() {
        assert_eq!(shares(&[DOWN, UP, DOWN, UP], 4), [0, 2, 0, 2]);
        assert_eq!(shares(&[NEW, UP], 4), [0, 4]);
    }

    #[test]
    fn the_untried_within_the_subset_and_the_down_before_its_end_are_probed() {
        assert_eq!(probed(&[DOWN, UP, DOWN, NEW, DOWN, NEW], 2), [true, false, true, true, false, false]);
        assert_eq!(probed(&[DOWN, DOWN, UP], 8), [true, true, false]);
        assert_eq!(probed(&[NEW, NEW], 0), [false, false]);
    }
}
