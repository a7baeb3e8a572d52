//! HELLO and WELCOME: the frames that open a connection and make or resume a session.

use super::bytes::{ANY_LEN, Known, Writer, read_options};
use super::options::{TLV_AUTH, TLV_RESUME, TLV_RESUMED, TLV_SESSION};
use super::{AuthData, CLAIM_LEN, Grant, Resume, Resumed};
use super::{HEADER_LEN, Header, MAGIC, MAX_BODY, Op, VERSION};
use crate::CloseCode;

/// The longest frame of a handshake (HELLO, WELCOME, AUTH), header included, in bytes: what a
/// buffer for one needs.
pub const HANDSHAKE_MAX: usize = HEADER_LEN + HANDSHAKE_BODY_MAX as usize;
/// The smallest `max_body` that may be announced, in bytes.
pub const MIN_MAX_BODY: u16 = 60;

/// Body bytes of HELLO and WELCOME in front of the options.
const FIXED_LEN: usize = 36;
/// Bytes of an option in front of its value.
const OPTION_HEAD: usize = 2;

/// The longest body of HELLO, WELCOME and AUTH, in bytes.
pub(crate) const HANDSHAKE_BODY_MAX: u16 = 1020;

const HELLO_RESUME: u16 = 1;
const HELLO_SESSION: u16 = 2;
const HELLO_AUTH: u16 = 4;
const WELCOME_RESUMED: u16 = 1;
const WELCOME_SESSION: u16 = 2;

const TLV_CAPS: u8 = 0x01;
const TLV_AGENT: u8 = 0x04;
const TLV_CLIENT_ID: u8 = 0x05;
pub(super) const TLV_ADDRESS: u8 = 0x12;

/// What one side announces about itself, for the whole life of the session.
///
/// The limits bind the *other* side: `max_body` is what the announcer accepts.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Longest frame body accepted, in bytes: 60 to 16 383.
    pub max_body: u16,
    /// Requests of the peer that may be open at once.
    pub max_requests: u16,
    /// How long the peer may be silent, in milliseconds.
    pub idle_ms: u32,
    /// In HELLO the fastest heartbeat the client can keep; in WELCOME the granted limit on the
    /// server's own silence. Milliseconds.
    pub heartbeat_ms: u32,
    /// Bytes the peer may send ahead of what was released.
    pub window: u32,
    /// Longest reassembled message accepted, in bytes.
    pub max_msg: u32,
    /// How long a detached session is kept, in seconds: asked in HELLO, granted in WELCOME.
    pub ttl_s: u32,
    /// Bytes of the announcer's own send buffer; the peer acknowledges often enough for it.
    pub send_buffer: u32,
}

impl Terms {
    /// Whether the terms can be announced at all.
    ///
    /// `max_body` is 60 to 16 383, and `window` holds at least one longest frame and stays below
    /// 2³¹, the most that positions of which only the low half is sent can be apart.
    //= HND-24
    #[must_use]
    pub const fn is_legal(&self) -> bool {
        self.max_body >= MIN_MAX_BODY
            && self.max_body <= MAX_BODY
            && self.window as u64 >= self.max_body as u64 + HEADER_LEN as u64
            && self.window < 1 << 31
    }
}

/// The client's first frame.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Hello<'b> {
    /// Oldest protocol version the client speaks.
    pub version_min: u8,
    /// Newest protocol version the client speaks.
    pub version_max: u8,
    /// Whether the client wants a session that outlasts the connection.
    pub wants_session: bool,
    /// The client's terms.
    pub terms: Terms,
    /// Capability bits; zero is not sent.
    pub caps: u32,
    /// The session to resume.
    pub resume: Option<Resume>,
    /// The first step of authentication.
    pub auth: Option<AuthData<'b>>,
    /// Name and version of the client's software, at most 255 bytes.
    pub agent: Option<&'b [u8]>,
    /// A name the client gives itself, at most 255 bytes.
    pub client_id: Option<&'b [u8]>,
}

/// The server's answer that opens the session.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Welcome<'b> {
    /// The protocol version the server chose.
    pub version: u8,
    /// Whether the session outlasts the connection.
    pub has_session: bool,
    /// The server's terms.
    pub terms: Terms,
    /// Capability bits; zero is not sent.
    pub caps: u32,
    /// The new session, if one was made.
    pub session: Option<Grant>,
    /// The positions of the session that was resumed.
    pub resumed: Option<Resumed>,
    /// Where to reconnect, if not here; at most 255 bytes.
    pub address: Option<&'b [u8]>,
}

impl<'b> Hello<'b> {
    const OPTIONS: [Known; 5] = [
        (TLV_CAPS, 4),
        (TLV_RESUME, Resume::LEN),
        (TLV_AUTH, ANY_LEN),
        (TLV_AGENT, ANY_LEN),
        (TLV_CLIENT_ID, ANY_LEN),
    ];

    /// Reads the body of a HELLO.
    ///
    /// # Errors
    ///
    /// `BAD_FRAME`: wrong magic, too short, an unknown flag, or an empty range of versions.
    /// `BAD_OPTION`: an option that is malformed, repeated, critical and unknown, or at odds with
    /// the flags. `LIMITS`: illegal [`Terms`]. `TOO_LARGE`: longer than [`HANDSHAKE_MAX`].
    pub fn decode(body: &'b [u8]) -> Result<Self, CloseCode> {
        let mut values = [None; 5];
        let fixed = Self::read(body, &mut values)?;
        Ok(Self::of(fixed, &values))
    }

    /// As [`decode`](Self::decode), but leaves everything where it is: of the options CAPS, RESUME,
    /// AUTH, AGENT and CLIENT_ID the values are found.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn read(
        body: &'b [u8],
        values: &mut [Option<&'b [u8]>; 5],
    ) -> Result<Fixed<'b>, CloseCode> {
        let (fixed, options) = Fixed::decode(body, HELLO_RESUME | HELLO_SESSION | HELLO_AUTH)?;
        //= HND-7
        let [version_min, version_max] = fixed.versions();
        if version_min == 0 || version_min > version_max {
            return Err(CloseCode::BAD_FRAME);
        }
        read_options(options, &Self::OPTIONS, values)?;
        let [_, resume, auth, _, _] = *values;
        //= HND-8
        if fixed.resumes() != resume.is_some()
            || fixed.has(HELLO_AUTH) != auth.is_some()
            || resume.is_some_and(|resume| Resume::decode(resume).is_none())
            || auth.is_some_and(<[u8]>::is_empty)
        {
            return Err(CloseCode::BAD_OPTION);
        }
        Ok(fixed)
    }

    /// What [`read`](Self::read) found, as a value: the last thing that is done, so that it is made
    /// where it goes. A copy of it is a quarter of the stack that a call may have.
    #[inline(always)]
    pub(crate) fn of(fixed: Fixed<'b>, values: &[Option<&'b [u8]>; 5]) -> Self {
        let [caps, resume, auth, agent, client_id] = *values;
        let [version_min, version_max] = fixed.versions();
        Self {
            version_min,
            version_max,
            wants_session: fixed.wants_session(),
            terms: fixed.terms(),
            caps: decode_caps(caps),
            resume: resume.and_then(Resume::decode),
            auth: auth.and_then(AuthData::decode),
            agent,
            client_id,
        }
    }

    /// The claim in a HELLO with RESUME and without CAPS, and the place of its proof.
    pub(crate) fn claim(frame: &mut [u8]) -> Option<(&[u8; CLAIM_LEN], &mut [u8; 16])> {
        // RESUME comes first; its type and length are two bytes.
        let option = frame.get_mut(HEADER_LEN + FIXED_LEN + 2..)?;
        let (claim, rest) = option.split_first_chunk_mut()?;
        Some((claim, rest.first_chunk_mut()?))
    }

    /// Writes the whole frame and returns its size.
    ///
    /// `None` if `out` is too small, or if no peer would accept the frame: illegal [`Terms`], an
    /// empty range of versions, or an option beyond its limit. The longest is far from
    /// [`HANDSHAKE_MAX`].
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        if self.version_min == 0 || self.version_min > self.version_max {
            return None;
        }
        let versions = [self.version_min, self.version_max];
        let (resumes, proves) = (self.resume.is_some(), self.auth.is_some());
        let mut writer =
            Self::begin(versions, self.wants_session, resumes, proves, &self.terms, out)?;
        encode_caps(&mut writer, self.caps);
        if let Some(resume) = &self.resume {
            resume.encode(&mut writer);
        }
        Self::complete(writer, self.auth, self.agent, self.client_id)
    }

    /// Bytes of the whole frame with a RESUME and options whose values have these lengths.
    pub(crate) fn len_with(values: [Option<usize>; 3]) -> usize {
        let resume = OPTION_HEAD + usize::from(Resume::LEN);
        let options = values.into_iter().flatten().map(|len| OPTION_HEAD.saturating_add(len));
        options.fold(HEADER_LEN + FIXED_LEN + resume, usize::saturating_add)
    }

    /// The first step of writing a HELLO from where its parts lie: a whole one on the stack, and a
    /// copy of it, would be half of what a call may have. RESUME follows, if there is one.
    pub(crate) fn begin<'a>(
        versions: [u8; 2],
        wants_session: bool,
        resumes: bool,
        proves: bool,
        terms: &Terms,
        out: &'a mut [u8],
    ) -> Option<Writer<'a>> {
        let flags = flag(HELLO_RESUME, resumes)
            | flag(HELLO_SESSION, wants_session)
            | flag(HELLO_AUTH, proves);
        encode_fixed(versions, flags, terms, out)
    }

    /// The last step: what follows RESUME, and the header.
    pub(crate) fn complete(
        mut writer: Writer<'_>,
        auth: Option<AuthData<'_>>,
        agent: Option<&[u8]>,
        client_id: Option<&[u8]>,
    ) -> Option<usize> {
        if let Some(auth) = auth {
            auth.encode(&mut writer);
        }
        if let Some(agent) = agent {
            writer.option(TLV_AGENT, agent);
        }
        if let Some(client_id) = client_id {
            writer.option(TLV_CLIENT_ID, client_id);
        }
        writer.finish(Header::new(Op::Hello, VERSION, 0))
    }
}

impl<'b> Welcome<'b> {
    const OPTIONS: [Known; 4] = [
        (TLV_CAPS, 4),
        (TLV_SESSION, Grant::LEN),
        (TLV_RESUMED, Resumed::LEN),
        (TLV_ADDRESS, ANY_LEN),
    ];

    /// Reads the body of a WELCOME.
    ///
    /// # Errors
    ///
    /// `BAD_FRAME`: wrong magic, too short, an unknown flag, or a reserved byte in use.
    /// `BAD_OPTION`: an option that is malformed, repeated, critical and unknown, or at odds with
    /// the flags. `LIMITS`: illegal [`Terms`]. `TOO_LARGE`: longer than [`HANDSHAKE_MAX`].
    pub fn decode(body: &'b [u8]) -> Result<Self, CloseCode> {
        let mut values = [None; 4];
        let fixed = Self::read_strictly(body, &mut values)?;
        Ok(Self::of(fixed, &values))
    }

    /// As [`read`](Self::read), and refuses reserved bytes within the options.
    pub(super) fn read_strictly(
        body: &'b [u8],
        values: &mut [Option<&'b [u8]>; 4],
    ) -> Result<Fixed<'b>, CloseCode> {
        let fixed = Self::read(body, values)?;
        let [_, session, resumed, _] = *values;
        if session.is_some_and(|session| Grant::read(session).is_none())
            || resumed.is_some_and(|resumed| Resumed::decode(resumed).is_none())
        {
            return Err(CloseCode::BAD_OPTION);
        }
        Ok(fixed)
    }

    #[inline(always)]
    pub(super) fn of(fixed: Fixed<'b>, values: &[Option<&'b [u8]>; 4]) -> Self {
        let [caps, session, resumed, address] = *values;
        Self {
            version: fixed.version(),
            has_session: fixed.has(WELCOME_SESSION),
            terms: fixed.terms(),
            caps: decode_caps(caps),
            session: session.and_then(Grant::decode),
            resumed: resumed.and_then(Resumed::decode),
            address,
        }
    }

    /// As [`decode`](Self::decode), but leaves everything where it is: of the options CAPS,
    /// SESSION, RESUMED and ADDRESS the values are found. Nothing is said about reserved bytes
    /// within them.
    pub(crate) fn read(
        body: &'b [u8],
        values: &mut [Option<&'b [u8]>; 4],
    ) -> Result<Fixed<'b>, CloseCode> {
        let (fixed, options) = Fixed::decode(body, WELCOME_RESUMED | WELCOME_SESSION)?;
        //= FRM-21
        let [_, reserved] = fixed.versions();
        if reserved != 0 {
            return Err(CloseCode::BAD_FRAME);
        }
        read_options(options, &Self::OPTIONS, values)?;
        let [_, session, resumed, _] = values;
        //= HND-8, HND-15
        if fixed.has(WELCOME_RESUMED) != resumed.is_some()
            || !is_consistent(fixed.has(WELCOME_SESSION), session.is_some(), resumed.is_some())
        {
            return Err(CloseCode::BAD_OPTION);
        }
        Ok(fixed)
    }

    /// Writes the whole frame and returns its size.
    ///
    /// `None` if `out` is too small, or if no peer would accept the frame: illegal [`Terms`], an
    /// address beyond 255 bytes, or a session that is neither new nor resumed, or both.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        if !is_consistent(self.has_session, self.session.is_some(), self.resumed.is_some()) {
            return None;
        }
        let (session, resumed) = (self.session.as_ref(), self.resumed.as_ref());
        let mut writer =
            Self::begin(self.version, self.has_session, resumed.is_some(), &self.terms, out)?;
        encode_caps(&mut writer, self.caps);
        if let Some(session) = session {
            session.encode(&mut writer);
        }
        if let Some(resumed) = resumed {
            resumed.encode(&mut writer);
        }
        if let Some(address) = self.address {
            writer.option(TLV_ADDRESS, address);
        }
        Self::complete(writer)
    }

    /// The first step of writing a WELCOME from where its parts lie, as for
    /// [`Hello::begin`]. SESSION or RESUMED follows.
    pub(crate) fn begin<'a>(
        version: u8,
        has_session: bool,
        resumes: bool,
        terms: &Terms,
        out: &'a mut [u8],
    ) -> Option<Writer<'a>> {
        let flags = flag(WELCOME_RESUMED, resumes) | flag(WELCOME_SESSION, has_session);
        encode_fixed([version, 0], flags, terms, out)
    }

    /// The last step.
    pub(crate) fn complete(writer: Writer<'_>) -> Option<usize> {
        writer.finish(Header::new(Op::Welcome, VERSION, 0))
    }
}

/// A session is either new or resumed; a connection without one is neither.
const fn is_consistent(has_session: bool, is_new: bool, is_resumed: bool) -> bool {
    if has_session { is_new != is_resumed } else { !is_new && !is_resumed }
}

/// What HELLO and WELCOME have in common, as it lies there: everything in front of the options.
#[derive(Copy, Clone)]
pub(crate) struct Fixed<'b>(&'b [u8; FIXED_LEN]);

impl<'b> Fixed<'b> {
    fn decode(body: &'b [u8], known_flags: u16) -> Result<(Self, &'b [u8]), CloseCode> {
        check_handshake_len(body)?;
        let Some((fixed, options)) = body.split_first_chunk() else {
            return Err(CloseCode::BAD_FRAME);
        };
        let fixed = Self(fixed);
        //= HND-2, HND-8
        if fixed.field(0) != MAGIC || fixed.flags() & !known_flags != 0 {
            return Err(CloseCode::BAD_FRAME);
        }
        //= HND-9
        if !fixed.terms().is_legal() {
            return Err(CloseCode::LIMITS);
        }
        Ok((fixed, options))
    }

    /// The bytes at a place that is within.
    #[inline(always)]
    fn field<const N: usize>(self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    /// Of a HELLO, the oldest and the newest version that the client speaks.
    pub(crate) fn versions(self) -> [u8; 2] {
        self.field(4)
    }

    /// Of a HELLO, whether the client wants a session that outlasts the connection.
    pub(crate) fn wants_session(self) -> bool {
        self.has(HELLO_SESSION)
    }

    /// Of a HELLO, whether there is one to resume.
    pub(crate) fn resumes(self) -> bool {
        self.has(HELLO_RESUME)
    }

    /// Of a WELCOME, the version that the server chose.
    pub(crate) fn version(self) -> u8 {
        let [version, _] = self.versions();
        version
    }

    fn flags(self) -> u16 {
        u16::from_le_bytes(self.field(6))
    }

    fn has(self, flag: u16) -> bool {
        self.flags() & flag != 0
    }

    pub(crate) fn terms(self) -> Terms {
        let word = |at| u32::from_le_bytes(self.field(at));
        Terms {
            max_body: u16::from_le_bytes(self.field(8)),
            max_requests: u16::from_le_bytes(self.field(10)),
            idle_ms: word(12),
            heartbeat_ms: word(16),
            window: word(20),
            max_msg: word(24),
            ttl_s: word(28),
            send_buffer: word(32),
        }
    }
}

/// Writes everything in front of the options.
fn encode_fixed<'a>(
    versions: [u8; 2],
    flags: u16,
    terms: &Terms,
    out: &'a mut [u8],
) -> Option<Writer<'a>> {
    if !terms.is_legal() {
        return None;
    }
    let pair = |[a, b]: [u8; 2], [c, d]: [u8; 2]| [a, b, c, d];
    let mut writer = Writer::new(out);
    let fields = [
        MAGIC,
        pair(versions, flags.to_le_bytes()),
        pair(terms.max_body.to_le_bytes(), terms.max_requests.to_le_bytes()),
        terms.idle_ms.to_le_bytes(),
        terms.heartbeat_ms.to_le_bytes(),
        terms.window.to_le_bytes(),
        terms.max_msg.to_le_bytes(),
        terms.ttl_s.to_le_bytes(),
        terms.send_buffer.to_le_bytes(),
    ];
    writer.put(fields.as_flattened());
    Some(writer)
}

/// Refuses a body of HELLO, WELCOME or AUTH that is longer than any of them may be.
pub(super) const fn check_handshake_len(body: &[u8]) -> Result<(), CloseCode> {
    //= HND-4
    if body.len() > HANDSHAKE_BODY_MAX as usize {
        return Err(CloseCode::TOO_LARGE);
    }
    Ok(())
}

fn decode_caps(value: Option<&[u8]>) -> u32 {
    value.and_then(|caps| caps.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn encode_caps(writer: &mut Writer<'_>, caps: u32) {
    if caps != 0 {
        writer.option(TLV_CAPS, &caps.to_le_bytes());
    }
}

const fn flag(bit: u16, set: bool) -> u16 {
    if set { bit } else { 0 }
}
