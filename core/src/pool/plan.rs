//! What ought to be: from a census to wishes, without a state and without a clock.

use alloc::vec::Vec;

use super::set::Standing;

/// What the plan has to know of one backend, and what it wants of it. The census lists them by tier, and
/// within one in rendezvous order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    /// Its priority: backends of one are a tier, and the lowest comes first.
    pub(crate) tier: u16,
    /// Its part beside those of the others in its tier. Above zero.
    pub(crate) heft: u32,
    pub(crate) standing: Standing,
    /// It may not be dialled yet.
    pub(crate) pausing: bool,
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
    /// How many claims in a row are its turn: more than 1 only where weights are unequal.
    pub(crate) turns: u32,
    /// Whether it should be probed as soon as it may.
    pub(crate) probe: bool,
}

impl Candidate {
    /// Whether it is up and can hold anything.
    fn takes(&self) -> bool {
        self.standing == Standing::Up && self.limit > 0
    }

    /// Whether it can hold something, or nobody knows yet.
    fn may_take(&self) -> bool {
        self.takes() || self.standing == Standing::Untried
    }

    /// Its exact part of `left` slots, of which `hefts` is the sum of all parts: the whole slots, and what
    /// remains.
    fn quota(&self, left: u32, hefts: u64) -> (u64, u64) {
        let product = u64::from(left) * u64::from(self.heft);
        (product / hefts, product % hefts)
    }
}

/// What a weight of RFC 2782 counts for: in proportion, and 0 for half of 1, so that it is the least but not
/// nothing.
pub(crate) fn heft(weight: u16) -> u32 {
    (2 * u32::from(weight)).max(1)
}

/// Divides `target` slots over the backends of a census, and says which is the last tier that is open.
///
/// The first tier with a backend that is up and may be dialled takes everything. Those before it have none
/// such: their backends are probed, and take no more than what they still have. While no backend is up, the
/// first tier with one that is untried is the last.
///
/// Within a tier it is rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit
/// rates", 1998) with a subset: of the backends that can take something, as many as there are slots for the tier
/// are served, and share the slots by weight. Of these together with the untried ones, as many are in the
/// subset: those untried in it are probed, and so are the ones down that come before its last. So whoever will
/// make place for an untried one serves until that is up. The wishes depend on nothing but the census and the
/// target.
pub(crate) fn plan<C: AsMut<Candidate>>(census: &mut [C], target: u32) -> u16 {
    let mut census: Vec<_> = census.iter_mut().map(AsMut::as_mut).collect();
    let open = last_open(census.iter().map(|of| &**of));
    let mut left = target;
    for tier in census.chunk_by_mut(|one, other| one.tier == other.tier) {
        let slots = if tier[0].tier <= open { left } else { 0 };
        let mut chosen = 0;
        for candidate in &mut *tier {
            let probe = chosen < slots && candidate.standing != Standing::Up;
            candidate.wish = Wish { probe, ..Wish::default() };
            chosen += u32::from(candidate.may_take());
        }
        let takers = tier.iter_mut().filter(|of| of.takes());
        let mut served: Vec<_> = takers.take(slots as usize).collect();
        divide(&mut served, slots);
        take_turns(&mut served);
        left -= served.iter().map(|of| of.wish.share).sum::<u32>();
    }
    open
}

/// The last tier of a census that is open.
pub(crate) fn last_open<'census>(mut census: impl Iterator<Item = &'census Candidate> + Clone) -> u16 {
    let taking = census.clone().find(|of| of.takes() && !of.pausing);
    let last = taking.or_else(|| census.find(|of| of.standing == Standing::Untried));
    last.map_or(u16::MAX, |of| of.tier)
}

/// Divides slots by largest remainder over at most as many backends, at least one and at most its limit to
/// each. The remainder goes to the first among equals.
fn divide(served: &mut [&mut &mut Candidate], mut left: u32) {
    let mut open: Vec<_> = served.iter_mut().collect();
    // Whoever's part is too small or too large gets the nearest that is not, those first that matter more, and
    // the others divide the rest, until everybody's part is right.
    let hefts = loop {
        let hefts: u64 = open.iter().map(|of| u64::from(of.heft)).sum();
        let (mut lacking, mut excess) = (0, 0);
        for of in &open {
            let part = u128::from(left) * u128::from(of.heft);
            lacking += u128::from(hefts).saturating_sub(part);
            excess += part.saturating_sub(u128::from(of.limit) * u128::from(hefts));
        }
        if (lacking, excess) == (0, 0) {
            break hefts;
        }
        let before = left;
        open.retain_mut(|of| {
            let part = u128::from(before) * u128::from(of.heft);
            let too_small = lacking >= excess && part < u128::from(hefts);
            let too_large = excess >= lacking && part > u128::from(of.limit) * u128::from(hefts);
            if too_small || too_large {
                of.wish.share = if too_small { 1 } else { of.limit };
                left -= of.wish.share;
            }
            !(too_small || too_large)
        });
    };
    let whole = left;
    for of in &mut open {
        of.wish.share = of.quota(whole, hefts).0 as u32;
        left -= of.wish.share;
    }
    open.sort_by_key(|of| core::cmp::Reverse(of.quota(whole, hefts).1));
    for of in open.iter_mut().take(left as usize) {
        of.wish.share += 1;
    }
}

/// Backends take as many claims in a row as stand in proportion to their weights, one where these are equal.
/// What would be more in a row than a backend has slots is in proportion to the shares instead.
fn take_turns(served: &mut [&mut &mut Candidate]) {
    let hefts = served.iter().map(|of| of.heft).fold(0, greatest_common_divisor);
    let shares = served.iter().map(|of| of.wish.share).fold(0, greatest_common_divisor);
    let exact = served.iter().all(|of| of.heft / hefts <= of.wish.share);
    for of in served {
        of.wish.turns = if exact { of.heft / hefts } else { of.wish.share / shares };
    }
}

fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const UP: Candidate = of(Standing::Up);
    const DOWN: Candidate = of(Standing::Down);
    const NEW: Candidate = of(Standing::Untried);

    const fn of(standing: Standing) -> Candidate {
        let wish = Wish { share: 0, turns: 0, probe: false };
        Candidate { tier: 0, heft: 1, standing, pausing: false, limit: 16, wish }
    }

    impl AsMut<Self> for Candidate {
        fn as_mut(&mut self) -> &mut Self {
            self
        }
    }

    fn at_most(limit: u32) -> Candidate {
        Candidate { limit, ..UP }
    }

    fn weighs(weight: u16) -> Candidate {
        Candidate { heft: heft(weight), ..UP }
    }

    fn in_tier(tier: u16, candidate: Candidate) -> Candidate {
        Candidate { tier, ..candidate }
    }

    fn wishes(census: &[Candidate], target: u32) -> Vec<Wish> {
        let mut census = census.to_vec();
        plan(&mut census, target);
        census.iter().map(|candidate| candidate.wish).collect()
    }

    fn shares(census: &[Candidate], target: u32) -> Vec<u32> {
        wishes(census, target).iter().map(|wish| wish.share).collect()
    }

    fn probed(census: &[Candidate], target: u32) -> Vec<bool> {
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
    fn whoever_can_take_nothing_at_present_leaves_its_place_to_the_next() {
        assert_eq!(shares(&[at_most(0), UP, UP], 1), [0, 1, 0]);
        assert_eq!(probed(&[at_most(0), NEW, NEW], 1), [false, true, false]);
    }

    #[test]
    fn the_untried_take_nobodys_place_before_they_are_up() {
        assert_eq!(shares(&[NEW, UP, UP, UP], 2), [0, 1, 1, 0]);
        assert_eq!(probed(&[NEW, UP, UP, NEW], 2), [true, false, false, false]);
        assert_eq!(probed(&[NEW, NEW, NEW], 2), [true, true, false]);
    }

    #[test]
    fn the_untried_within_the_subset_and_the_down_before_its_end_are_probed() {
        assert_eq!(probed(&[DOWN, UP, DOWN, NEW, DOWN, NEW], 2), [true, false, true, true, false, false]);
        assert_eq!(probed(&[DOWN, DOWN, UP], 8), [true, true, false]);
        assert_eq!(probed(&[NEW, NEW], 0), [false, false]);
    }

    #[test]
    fn shares_and_turns_follow_the_weights_as_far_as_they_can() {
        assert_eq!(shares(&[weighs(3), weighs(1)], 8), [6, 2]);
        assert_eq!(shares(&[weighs(1), weighs(3)], 9), [2, 7]);
        assert_eq!(shares(&[weighs(1), weighs(1), weighs(2)], 8), [2, 2, 4]);
        assert_eq!(shares(&[weighs(65535), weighs(65535)], 7), [4, 3]);
        assert_eq!(shares(&[Candidate { limit: 4, ..weighs(3) }, weighs(1)], 8), [4, 4]);
        let turns = |census: &[_]| wishes(census, 8).iter().map(|wish| wish.turns).collect::<Vec<_>>();
        assert_eq!(turns(&[weighs(3), weighs(1)]), [3, 1]);
        assert_eq!(turns(&[weighs(5), weighs(5), weighs(5)]), [1, 1, 1]);
        assert_eq!(turns(&[weighs(2), weighs(3), weighs(2)]), [2, 3, 2]);
        assert_eq!(turns(&[weighs(101), weighs(100)]), [1, 1]);
        assert_eq!(turns(&[weighs(100), weighs(0)]), [7, 1]);
    }

    #[test]
    fn the_least_weight_is_not_nothing() {
        assert_eq!(shares(&[weighs(0), weighs(1)], 9), [3, 6]);
        assert_eq!(shares(&[weighs(0), weighs(100)], 8), [1, 7]);
        let heavy = |limit| Candidate { limit, ..weighs(1000) };
        assert_eq!(shares(&[heavy(7), weighs(1), weighs(1), weighs(1)], 8), [5, 1, 1, 1]);
        assert_eq!(shares(&[heavy(2), weighs(1), weighs(1)], 8), [2, 3, 3]);
    }

    #[test]
    fn the_first_tier_with_a_backend_that_is_up_takes_everything() {
        let next = |candidate| in_tier(1, candidate);
        assert_eq!(shares(&[UP, DOWN, next(UP)], 8), [8, 0, 0]);
        assert_eq!(shares(&[at_most(2), next(UP)], 8), [2, 0]);
        assert_eq!(shares(&[DOWN, DOWN, next(UP), next(UP)], 8), [0, 0, 4, 4]);
        assert_eq!(probed(&[DOWN, next(DOWN), next(UP), in_tier(2, NEW)], 8), [true, true, false, false]);
        assert_eq!(shares(&[NEW, NEW, next(UP)], 1), [0, 0, 1]);
        assert_eq!(probed(&[NEW, NEW, next(UP)], 1), [true, false, false]);
    }

    #[test]
    fn while_nothing_is_up_tiers_are_tried_in_turn() {
        let next = |candidate| in_tier(1, candidate);
        assert_eq!(probed(&[NEW, DOWN, next(NEW)], 8), [true, true, false]);
        assert_eq!(probed(&[DOWN, next(NEW), in_tier(2, NEW)], 8), [true, true, false]);
        assert_eq!(probed(&[DOWN, next(DOWN), in_tier(2, DOWN)], 8), [true, true, true]);
    }

    #[test]
    fn a_tier_that_may_not_be_dialled_keeps_what_it_has_and_the_next_gets_the_rest() {
        let left = Candidate { pausing: true, ..at_most(3) };
        assert_eq!(shares(&[left, in_tier(1, UP)], 8), [3, 5]);
        assert_eq!(probed(&[left, in_tier(1, NEW)], 3), [false, false]);
        let empty = Candidate { pausing: true, ..at_most(0) };
        assert_eq!(shares(&[empty, in_tier(1, UP)], 8), [0, 8]);
    }
}
