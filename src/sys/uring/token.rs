//! What an operation's `user_data` means: never a pointer.
//!
//! | kind  | generation | index  |
//! |-------|------------|--------|
//! | 8 bit | 24 bit     | 32 bit |
//!
//! A slot's generation changes each time it is freed, so a late completion of its former
//! holder, or a message meant for another ring, is recognised, counted and ignored. What there is one
//! of in a ring has neither.

/// The width of a generation.
const GENERATION_BITS: u32 = 24;

/// What kind of operation a completion belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The wait in the watch set.
    SetWait = 1,
    /// The cancellation of what is not an operation; only seen if it failed.
    Cancel = 2,
    /// A wake-up from another thread.
    Doorbell = 3,
    /// A doorbell this ring rang elsewhere (only seen if that failed).
    DoorbellSent = 4,
    /// The watch of the doorbell's eventfd, where there is one.
    DoorbellWatch = 5,
    /// An operation; index and generation name its slot.
    Op = 6,
    /// The cancellation of the operation in that slot.
    OpCancel = 7,
    /// The time limit linked to the operation in that slot.
    OpLimit = 8,
}

/// The identity of an operation in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    pub(crate) const fn new(kind: Kind, generation: u32, index: u32) -> Token {
        let generation = (generation & Token::GENERATION_MASK) as u64;
        Token((kind as u64) << 56 | generation << 32 | index as u64)
    }

    /// The bits of a generation that a token carries.
    pub(crate) const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

    pub(crate) fn from_raw(raw: u64) -> Token {
        Token(raw)
    }

    pub(crate) fn into_raw(self) -> u64 {
        self.0
    }

    /// `None` if no operation of ours carries such a token.
    pub(crate) fn kind(self) -> Option<Kind> {
        match (self.0 >> 56) as u8 {
            1 => Some(Kind::SetWait),
            2 => Some(Kind::Cancel),
            3 => Some(Kind::Doorbell),
            4 => Some(Kind::DoorbellSent),
            5 => Some(Kind::DoorbellWatch),
            6 => Some(Kind::Op),
            7 => Some(Kind::OpCancel),
            8 => Some(Kind::OpLimit),
            _ => None,
        }
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & Token::GENERATION_MASK
    }

    pub(crate) fn index(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_packing() {
        let readiness =
            [Kind::SetWait, Kind::Cancel, Kind::Doorbell, Kind::DoorbellSent, Kind::DoorbellWatch];
        let operations = [Kind::Op, Kind::OpCancel, Kind::OpLimit];
        for kind in readiness.into_iter().chain(operations) {
            for (generation, index) in [(0, 0), (1, u32::MAX), (Token::GENERATION_MASK, 7)] {
                let token = Token::from_raw(Token::new(kind, generation, index).into_raw());
                assert_eq!(token.kind(), Some(kind));
                assert_eq!((token.generation(), token.index()), (generation, index));
            }
        }
    }

    #[test]
    fn foreign_user_data_has_no_kind() {
        assert_eq!(Token::from_raw(0).kind(), None);
        assert_eq!(Token::from_raw(u64::MAX).kind(), None);
    }
}
