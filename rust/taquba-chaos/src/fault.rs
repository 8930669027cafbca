//! The kinds of faults.

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// An object is written in one request.
    Put,
    /// An upload in parts is begun, or one part is sent.
    UploadPart,
    /// The parts of an upload become an object.
    UploadComplete,
    /// An object, or a part of it, is read.
    Get,
    /// The size and tag of an object are read.
    Head,
    /// Objects are listed.
    List,
    /// An object is deleted.
    Delete,
    /// An object is copied inside the store.
    Copy,
}

impl Operation {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::UploadPart => "upload-part",
            Self::UploadComplete => "upload-complete",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Copy => "copy",
        }
    }
}

/// What a write asks to be true before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    None,
    /// No object is there.
    Create,
    /// The object is still the one that was read.
    Update,
}

/// What can go wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It takes longer, by a time from `Plan::latency`. A part of that passes before the effect and
    /// the rest after it, so a caller that goes away leaves either behind.
    Latency,
    /// Bodies pass at `Plan::bandwidth`, on their way in and out.
    Bandwidth,
    /// It comes above the rate of `Plan::throttle` and is refused: 503, slow down.
    Throttle,
    /// It is refused, 403, and so is everything for `Plan::deny_window`.
    Deny403,
    /// It never arrives: the connection is reset.
    FailBefore,
    /// It has no answer until its caller gives up, or `Plan::hang_limit` is over: then it timed out. It has
    /// no effect.
    Hang,
    /// There is no room for what it writes.
    NoSpace,
    /// It takes effect, and the answer is lost: the connection is reset. Writes only.
    FailAfter,
    /// A conditional create is answered with 409 although no object is there, as by S3 if two race. It has no
    /// effect.
    ConflictAbsent,
    /// A conditional write takes effect and is answered with 409 (create) or 412 (update), as when the
    /// client itself has sent it twice.
    ConflictOwn,
    /// Before a conditional create arrives, somebody else creates the object: with the same bytes, but
    /// without the attributes by which a writer knows its own.
    ConflictForeign,
    /// A conditional update is answered with 412 although the object has not changed. It has no effect.
    Precondition412,
    /// A put times out for its caller, and takes effect after a time from `Plan::delay`, whoever is
    /// alive then. The caller is told at once, or only after the effect, evenly.
    DetachPut,
    /// A put is done and answered, and a copy of it arrives after a time from `Plan::delay`.
    DuplicatePut,
    /// A body ends early, without an error. The object is whole.
    TruncateGet,
    /// A bit of a body is flipped. The object is whole.
    FlipGet,
    /// A bit of the object itself is flipped, for good, before it is read.
    Rot,
    /// A body or a listing breaks off halfway, with an error.
    DropStream,
    /// A listing shows what was there up to `Plan::stale_window` ago. Only what was written and
    /// deleted through this store, and under this fault's plan, can be missing or too many.
    StaleList,
    /// A listing has an entry twice.
    ListDuplicate,
    /// A listing comes in any order.
    ListReorder,
}

impl Fault {
    /// All of them, in the order in which they are drawn. Delays come with any other; of the rest
    /// the first that is drawn befalls the request.
    pub const ALL: [Self; 21] = [
        Self::Latency,
        Self::Bandwidth,
        Self::Throttle,
        Self::Deny403,
        Self::FailBefore,
        Self::Hang,
        Self::NoSpace,
        Self::FailAfter,
        Self::ConflictAbsent,
        Self::ConflictOwn,
        Self::ConflictForeign,
        Self::Precondition412,
        Self::DetachPut,
        Self::DuplicatePut,
        Self::TruncateGet,
        Self::FlipGet,
        Self::Rot,
        Self::DropStream,
        Self::StaleList,
        Self::ListDuplicate,
        Self::ListReorder,
    ];

    /// Its name in plans and counts, in `snake_case`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Bandwidth => "bandwidth",
            Self::Throttle => "throttle",
            Self::Deny403 => "deny_403",
            Self::FailBefore => "fail_before",
            Self::Hang => "hang",
            Self::NoSpace => "no_space",
            Self::FailAfter => "fail_after",
            Self::ConflictAbsent => "conflict_absent",
            Self::ConflictOwn => "conflict_own",
            Self::ConflictForeign => "conflict_foreign",
            Self::Precondition412 => "precondition_412",
            Self::DetachPut => "detach_put",
            Self::DuplicatePut => "duplicate_put",
            Self::TruncateGet => "truncate_get",
            Self::FlipGet => "flip_get",
            Self::Rot => "rot",
            Self::DropStream => "drop_stream",
            Self::StaleList => "stale_list",
            Self::ListDuplicate => "list_duplicate",
            Self::ListReorder => "list_reorder",
        }
    }

    /// The fault of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// Whether it makes a request slower and nothing else.
    pub const fn delays(self) -> bool {
        matches!(self, Self::Latency | Self::Bandwidth)
    }

    /// Whether a request that it befalls has no effect and is answered with an error.
    pub(crate) const fn refuses(self) -> bool {
        matches!(
            self,
            Self::Throttle
                | Self::Deny403
                | Self::FailBefore
                | Self::Hang
                | Self::NoSpace
                | Self::Precondition412
        )
    }

    /// Whether such a request can meet it.
    pub(crate) const fn befalls(self, operation: Operation, condition: Condition) -> bool {
        use Operation as Op;
        match self {
            Self::Latency | Self::Throttle | Self::Deny403 | Self::FailBefore | Self::Hang => true,
            Self::Bandwidth => matches!(operation, Op::Put | Op::UploadPart | Op::Get),
            Self::NoSpace => {
                matches!(operation, Op::Put | Op::UploadPart | Op::UploadComplete | Op::Copy)
            }
            Self::FailAfter => {
                matches!(operation, Op::Put | Op::UploadComplete | Op::Delete | Op::Copy)
            }
            Self::ConflictAbsent | Self::ConflictForeign => matches!(condition, Condition::Create),
            Self::ConflictOwn => matches!(condition, Condition::Create | Condition::Update),
            Self::Precondition412 => matches!(condition, Condition::Update),
            Self::DetachPut | Self::DuplicatePut => matches!(operation, Op::Put),
            Self::TruncateGet | Self::FlipGet | Self::Rot => matches!(operation, Op::Get),
            Self::DropStream => matches!(operation, Op::Get | Op::List),
            Self::StaleList | Self::ListDuplicate | Self::ListReorder => {
                matches!(operation, Op::List)
            }
        }
    }
}
