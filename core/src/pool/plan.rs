//! What ought to be: from a census to wishes, without a state and without a clock.

use super::set::Standing;

/// What the plan has to know of one backend, and what it wants of it. The census lists them in rendezvous
/// order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    pub(crate) standing: Standing,
    /// The most slots it can hold at present.
    pub(crate) limit: u32,
    pub(crate) wish: Wish,
}

/// What the plan wants of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Wish {
    /// How many slots it should have.
    pub(crate) share: u32,
    /// Whether it should be probed as soon as it may.
    pub(crate) probe: bool,
}

impl Candidate {
    pub(crate) fn new(standing: Standing, limit: u32) -> Self {
        Self { standing, limit, wish: Wish::default() }
    }

    /// Whether it is up and did not get all that it can take.
    fn takes_more(&self) -> bool {
        self.standing == Standing::Up && self.wish.share < self.limit
    }
}

/// Divides `target` slots over the backends of a census.
///
/// Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998)
/// with a subset: the first `target` backends that are not down are served, those untried among them
/// are probed, and so are the ones down that come before the last of them. Those that are up share the
/// target equally by largest remainder, each within its limit. The wishes depend on nothing but the
/// standings, the limits and the target.
pub(crate) fn plan<C: AsMut<Candidate>>(census: &mut [C], target: u32) {
    let (mut chosen, mut end) = (0, 0);
    for candidate in census.iter_mut().map(AsMut::as_mut) {
        let reached = chosen < target;
        candidate.wish = Wish { share: 0, probe: reached && candidate.standing != Standing::Up };
        chosen += u32::from(candidate.standing != Standing::Down);
        end += usize::from(reached);
    }
    divide(&mut census[..end], target);
}

/// Divides `left` slots over the backends that are up: as many to each as it can take where that is less
/// than an equal part of what the others leave, and the rest equally, the remainder to the first.
fn divide<C: AsMut<Candidate>>(served: &mut [C], mut left: u32) {
    let mut open =
        served.iter_mut().map(AsMut::as_mut).filter(|candidate| candidate.takes_more()).count() as u32;
    let mut before = 0;
    while open != before && open > 0 {
        before = open;
        let equal = left / open;
        for candidate in served.iter_mut().map(AsMut::as_mut) {
            if candidate.takes_more() && candidate.limit <= equal {
                candidate.wish.share = candidate.limit;
                left -= candidate.limit;
                open -= 1;
            }
        }
    }
    for candidate in served.iter_mut().map(AsMut::as_mut) {
        if candidate.takes_more() {
            candidate.wish.share = left.div_ceil(open);
            left -= candidate.wish.share;
            open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const UP: (Standing, u32) = (Standing::Up, 16);
    const DOWN: (Standing, u32) = (Standing::Down, 16);
    const NEW: (Standing, u32) = (Standing::Untried, 16);

    impl AsMut<Self> for Candidate {
        fn as_mut(&mut self) -> &mut Self {
            self
        }
    }

    fn at_most(limit: u32) -> (Standing, u32) {
        (Standing::Up, limit)
    }

    fn wishes(census: &[(Standing, u32)], target: u32) -> Vec<Wish> {
        let mut census: Vec<_> =
            census.iter().map(|&(standing, limit)| Candidate::new(standing, limit)).collect();
        plan(&mut census, target);
        census.iter().map(|candidate| candidate.wish).collect()
    }

    fn shares(census: &[(Standing, u32)], target: u32) -> Vec<u32> {
        wishes(census, target).iter().map(|wish| wish.share).collect()
    }

    fn probed(census: &[(Standing, u32)], target: u32) -> Vec<bool> {
        wishes(census, target).iter().map(|wish| wish.probe).collect()
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
        assert_eq!(shares(&[at_most(4), at_most(1), at_most(3), UP], 14), [4, 1, 3, 6]);
        assert_eq!(shares(&[at_most(4), UP, at_most(5)], 14), [4, 5, 5]);
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
