//! A child that begins in the memory of its parent. The thread that starts it waits until it runs a program or has
//! ended.
//!
//! A fork would copy the page tables and the descriptors of the parent, and those of a keeper with a
//! thousand agents are three thousand, only for the program to do without them.

use std::{
    cell::Cell,
    ffi::{CStr, CString, c_void},
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::dup3,
};

/// The stack of a child, until it runs its program.
const STACK: usize = 256 * 1024;

/// The process that a thread starts, known to the others before it can end.
#[derive(Debug, Default)]
pub(crate) struct Born(AtomicI32);

impl Born {
    /// Its pid, or 0.
    pub(crate) fn pid(&self) -> i32 {
        self.0.load(Ordering::Acquire)
    }
}

/// What a thread has at hand for the children that it starts.
#[derive(Debug)]
pub(crate) struct Cradle {
    stack: Vec<u128>,
    null: OwnedFd,
    /// Low numbers for what children get as their streams.
    places: [OwnedFd; 3],
    born: Arc<Born>,
}

impl Cradle {
    /// To be called before much else is open, so that the numbers are low.
    pub(crate) fn new() -> io::Result<Self> {
        let null = || open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
        Ok(Self {
            stack: vec![0; STACK / mem::size_of::<u128>()],
            places: [null()?, null()?, null()?],
            null: null()?,
            born: Arc::default(),
        })
    }

    /// The first number above those of its places.
    pub(crate) fn above(&self) -> u32 {
        let highest = self.places.iter().map(AsRawFd::as_raw_fd).max().unwrap_or_default();
        highest.unsigned_abs() + 1
    }

    /// `/dev/null`, as all children have it that have no other stream: to open it takes ten times as long.
    pub(crate) fn null(&self) -> io::Result<OwnedFd> {
        self.null.try_clone()
    }

    /// The process that is started here.
    pub(crate) fn born(&self) -> Arc<Born> {
        self.born.clone()
    }

    /// Whoever must know of the process does.
    pub(crate) fn leave(&self) {
        self.born.0.store(0, Ordering::Release);
    }

    /// Has a child begin in `group` with `streams`, at `main`, which runs a program or ends the child. Gives
    /// its pid once it has. It has no descriptors from the number `above` on.
    ///
    /// What `main` is given is the parent's: what it leaves there is there afterwards. Other threads go on
    /// meanwhile, as if it were one of them: it may wait for no lock that this thread has.
    ///
    /// A kernel before Linux 5.7 (or a filter of system calls) can't begin in a group: then the child is
    /// in that of its parent.
    pub(crate) fn begin<T>(
        &mut self,
        (group, above): (Option<BorrowedFd<'_>>, u32),
        streams: [&OwnedFd; 3],
        main: fn(&T, [BorrowedFd<'_>; 3]) -> !,
        with: &T,
    ) -> Result<i32, Errno> {
        for (place, stream) in self.places.iter_mut().zip(streams) {
            dup3(stream, place, OFlag::O_CLOEXEC)?;
        }
        let [stdin, stdout, stderr] = &self.places;
        let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let birth = Birth { main, with, streams, above };
        let at = Start {
            first: first::<T>,
            birth: ptr::from_ref(&birth).cast(),
            pid: self.born.0.as_ptr(),
        };
        let born = clone(group, &mut self.stack, &at);
        for place in &mut self.places {
            // No end of a pipe may stay: whoever reads the other would wait for ever.
            dup3(&self.null, place, OFlag::O_CLOEXEC)?;
        }
        born
    }
}

/// What a child is given.
struct Birth<'a, T> {
    main: fn(&T, [BorrowedFd<'_>; 3]) -> !,
    with: &'a T,
    streams: [BorrowedFd<'a>; 3],
    /// The first number that it has no descriptor of.
    above: u32,
}

/// Where a child begins: it has the descriptors of its parent, not copies, until it has its own here.
#[expect(unsafe_code, reason = "what it is given comes through the kernel")]
extern "C" fn first<T>(birth: *const c_void) -> ! {
    // SAFETY: `Cradle::begin` passed a `Birth<T>`, and waits, so that it lives.
    let birth = unsafe { &*birth.cast::<Birth<'_, T>>() };
    own_descriptors(birth.above);
    (birth.main)(birth.with, birth.streams)
}

/// Copies the descriptors below `above` for this process alone; of an older kernel all of them, which the
/// program then closes.
#[expect(unsafe_code, reason = "no wrapper of close_range, and closing descriptors is unsafe")]
fn own_descriptors(above: u32) {
    // SAFETY: plain system calls. Descriptors are closed in this process alone, which uses none of them.
    unsafe {
        let (last, flags) = (u32::MAX, libc::CLOSE_RANGE_UNSHARE);
        if libc::syscall(libc::SYS_close_range, above, last, flags) != 0 {
            // Without this it could not go on: it would change those of its parent.
            if libc::unshare(libc::CLONE_FILES) != 0 {
                libc::_exit(127);
            }
        }
    }
}

/// What a child has of its parent: the memory, until it runs a program, and the descriptors. Its pid is written
/// down before it begins.
const SHARED: i32 =
    libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PARENT_SETTID;

/// Where a child begins, with what, and where its pid goes.
struct Start {
    first: extern "C" fn(*const c_void) -> !,
    birth: *const c_void,
    pid: *mut i32,
}

#[expect(unsafe_code, reason = "nothing wraps a start in a control group and in shared memory")]
fn clone(group: Option<BorrowedFd<'_>>, stack: &mut [u128], start: &Start) -> Result<i32, Errno> {
    if let Some(group) = group
        && let Some(born) = clone_into(group, stack, start)
    {
        return born;
    }
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: `first` has the form that is asked for but for coming back, which it does not. The stack is
    // the child's alone: its parent waits until it is not needed any more.
    let pid = unsafe {
        let first: extern "C" fn(*mut c_void) -> i32 = mem::transmute(start.first);
        libc::clone(first, top, SHARED | libc::SIGCHLD, start.birth.cast_mut(), start.pid)
    };
    Errno::result(pid)
}

/// As [`clone`]; `None` where it can't be done in a group.
#[expect(unsafe_code, reason = "a child on a stack of its own can't come back from a system call")]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn clone_into(
    group: BorrowedFd<'_>,
    stack: &mut [u128],
    &Start { first, birth, pid }: &Start,
) -> Option<Result<i32, Errno>> {
    /// `CLONE_INTO_CGROUP`, which is wider than the type that `libc` has for it.
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut result = libc::SYS_clone3;
    // SAFETY: all zeros is a valid clone_args, and the kernel is told its true size. Parent and child part
    // at the system call: the child, on the stack that nobody else uses now, calls `first`, which does not
    // come back; the parent goes on once the child has its own memory, or none any more.
    unsafe {
        let mut arguments: libc::clone_args = mem::zeroed();
        arguments.flags = INTO_CGROUP | u64::from(SHARED.unsigned_abs());
        arguments.exit_signal = libc::SIGCHLD.unsigned_abs().into();
        arguments.cgroup = group.as_raw_fd().unsigned_abs().into();
        arguments.stack = stack.as_mut_ptr() as u64;
        arguments.stack_size = mem::size_of_val(stack) as u64;
        arguments.parent_tid = pid as u64;
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") result,
            in("rdi") &raw mut arguments,
            in("rsi") mem::size_of::<libc::clone_args>(),
            in("r12") birth,
            in("r13") first,
            lateout("rcx") _,
            lateout("r11") _,
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            inlateout("x0") &raw mut arguments => result,
            in("x1") mem::size_of::<libc::clone_args>(),
            in("x8") result,
            in("x20") birth,
            in("x21") first,
        );
    }
    match i32::try_from(result) {
        Ok(pid) if pid > 0 => Some(Ok(pid)),
        Ok(error) => match Errno::from_raw(-error) {
            Errno::ENOSYS | Errno::EPERM | Errno::E2BIG => None,
            errno => Some(Err(errno)),
        },
        Err(_) => None,
    }
}

/// As [`clone`]; `None` where it can't be done in a group.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn clone_into(_: BorrowedFd<'_>, _: &mut [u128], _: &Start) -> Option<Result<i32, Errno>> {
    None
}

/// Texts as a program takes them: nothing need be allocated any more where it is run.
#[derive(Debug)]
pub(crate) struct Texts {
    _texts: Vec<CString>,
    /// Of each text, and a null at the end.
    pointers: Vec<Cell<*const libc::c_char>>,
}

impl Texts {
    pub(crate) fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]);
        Self { pointers: pointers.map(Cell::new).collect(), _texts: texts }
    }
}

/// Becomes the program of the file `path`; gives why it can't.
#[expect(
    unsafe_code,
    reason = "nix's execve allocates, which a child in its parent's memory must not"
)]
pub(crate) fn execute(path: &CStr, words: &Texts, environment: &Texts) -> Errno {
    let [words, environment] = [words, environment].map(|texts| texts.pointers.as_ptr().cast());
    // SAFETY: all of them are pointers to texts that live, with a null at the end; a `Cell` is what is in it.
    unsafe { libc::execve(path.as_ptr(), words, environment) };
    Errno::last()
}

/// As [`execute`], with the text `second` in the place of the second word.
pub(crate) fn execute_with(
    path: &CStr,
    second: &CStr,
    words: &Texts,
    environment: &Texts,
) -> Errno {
    let place = words.pointers.get(1).map(|place| (place, place.replace(second.as_ptr())));
    let why = execute(path, words, environment);
    if let Some((place, before)) = place {
        place.set(before);
    }
    why
}
