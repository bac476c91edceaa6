//! Giving memory back that a busy time has left, to the system and to the others on the machine.

use std::fs;

/// Gives back what is free, and lets go of the pages of this program's code and constants: those that are
/// needed are mapped again when they are, from where they were read.
pub fn give_back() {
    trim();
    // Where the kernel does not say what is mapped, all stays.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in code(&maps, give_back as *const () as usize) {
        let_go(start, end);
    }
}

/// What of the file that `inside` lies in is mapped to be read and never written: its code, and what lies
/// before that. What lies behind may have been written before it was sealed.
fn code(maps: &str, inside: usize) -> Vec<(usize, usize)> {
    let all: Vec<Mapping<'_>> = maps.lines().filter_map(Mapping::read).collect();
    let Some(text) = all.iter().find(|one| (one.start..one.end).contains(&inside)) else {
        return Vec::new();
    };
    let is_of_it = |one: &&Mapping<'_>| {
        one.file == text.file && one.start <= text.start && !one.access.contains('w')
    };
    all.iter().filter(is_of_it).map(|one| (one.start, one.end)).collect()
}

#[derive(Debug)]
struct Mapping<'a> {
    start: usize,
    end: usize,
    access: &'a str,
    /// Its device and its inode.
    file: (&'a str, &'a str),
}

impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |word| usize::from_str_radix(word, 16).ok();
        let (access, _, device, inode) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let file = (device, inode);
        Some(Self { start: number(start)?, end: number(end)?, access, file })
    }
}

/// Has the allocator of the program and, for a program that uses this library with another, that of the C
/// library give back what is free.
#[expect(unsafe_code, reason = "no wrapper of mi_collect and malloc_trim")]
fn trim() {
    // SAFETY: they take what is free, and nothing else.
    unsafe {
        libmimalloc_sys::mi_collect(true);
        #[cfg(target_env = "gnu")]
        libc::malloc_trim(0);
    }
}

#[expect(unsafe_code, reason = "dropping pages is unsafe where they could have been written")]
fn let_go(start: usize, end: usize) {
    // SAFETY: a private mapping of this program's file that was never writable holds what the file holds,
    // and is read from there again. Where that fails, all stays.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5600000-5700000 r--p 00000000 fd:00 77    /usr/bin/hostler
5700000-5800000 r-xp 00100000 fd:00 77    /usr/bin/hostler (deleted)
5800000-5900000 r--p 00200000 fd:00 77    /usr/bin/hostler
5900000-5a00000 rw-p 00300000 fd:00 77    /usr/bin/hostler
6000000-6100000 rw-p 00000000 00:00 0     [heap]
7000000-7100000 r-xp 00000000 fd:00 99    /usr/lib/libc.so.6
";

    #[test]
    fn code_and_constants_go_and_what_was_sealed_stays() {
        let gone = code(MAPS, 0x571_0000);
        assert_eq!(gone, [(0x560_0000, 0x570_0000), (0x570_0000, 0x580_0000)]);
        assert_eq!(code(MAPS, 0x1), []);
        assert_eq!(code("", 0x571_0000), []);
    }

    #[test]
    fn a_program_goes_on_after_it() {
        let texts: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        give_back();
        assert_eq!(texts.concat().len(), 2890);
    }
}
