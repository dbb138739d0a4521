//! The program and its libraries as they are loaded: how stacks are followed in them, and what is at an address.
//!
//! In come `/proc/self/maps` and the files it names; out come unwinding tables and the names of functions, both read from the files when
//! they are needed and forgotten after. A file that cannot be read, or was stripped, costs its names and nothing else: the addresses,
//! with the file's build id, are enough for the tools of whoever has the symbols.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;

use framehop::ExplicitModuleSectionInfo;
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SymbolKind,
};

/// The file a process runs, even when another has taken its name.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// One piece of executable memory with a file behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Where it is loaded.
    pub(super) addresses: Range<u64>,
    /// Where in the file that begins.
    pub(super) offset: u64,
    pub(super) path: String,
}

type Elf<'a> = ElfFile64<'a, Endianness, &'a ReadCache<File>>;

/// All that are loaded at this moment.
pub(super) fn loaded() -> io::Result<Vec<Module>> {
    Ok(fs::read_to_string("/proc/self/maps")?.lines().filter_map(Module::of_line).collect())
}

impl Module {
    /// Reads a line of `proc_pid_maps(5)`: `START-END PERMISSIONS OFFSET DEVICE INODE PATH`.
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let is_code = words.next()?.get(2..3)? == "x";
        let offset = words.next()?;
        let path = words.nth(1)?.split_once(' ')?.1.trim_start();
        let number = |text| u64::from_str_radix(text, 16).ok();
        let addresses = number(start)?..number(end)?;
        (is_code && path.starts_with('/')).then_some(Self {
            addresses,
            offset: number(offset)?,
            path: path.to_owned(),
        })
    }

    /// What stacks are followed by; nothing when the file does not say.
    pub(super) fn unwinding(&self) -> Option<framehop::Module<Vec<u8>>> {
        self.look(|elf| {
            let section = |name: &str| {
                let section = elf.section_by_name(name)?;
                let from = section.address();
                Some((from..from.checked_add(section.size())?, section.data().ok()?.to_vec()))
            };
            let (eh_frame_svma, eh_frame) = section(".eh_frame")?;
            let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr").unzip();
            let sections = ExplicitModuleSectionInfo {
                eh_frame_svma: Some(eh_frame_svma),
                eh_frame: Some(eh_frame),
                eh_frame_hdr_svma,
                eh_frame_hdr,
                text_svma: elf
                    .section_by_name(".text")
                    .map(|text| text.address()..text.address() + text.size()),
                got_svma: elf.section_by_name(".got").map(|got| got.address()..got.address() + got.size()),
                ..Default::default()
            };
            Some(framehop::Module::new(
                self.path.clone(),
                self.addresses.clone(),
                self.moved_by(elf)?,
                sections,
            ))
        })
    }

    /// Finds the functions that are at some addresses, which come in order.
    pub(super) fn name(&self, addresses: &[u64], names: &mut HashMap<u64, String>) {
        let within = addresses.partition_point(|address| *address < self.addresses.start)
            ..addresses.partition_point(|address| *address < self.addresses.end);
        let addresses = &addresses[within];
        if addresses.is_empty() {
            return;
        }
        self.look(|elf| {
            let moved_by = self.moved_by(elf)?;
            for symbol in
                elf.symbols().chain(elf.dynamic_symbols()).filter(|symbol| symbol.kind() == SymbolKind::Text)
            {
                let start = symbol.address().wrapping_add(moved_by);
                let end = start.saturating_add(symbol.size());
                let first = addresses.partition_point(|address| *address < start);
                for address in addresses[first..].iter().take_while(|address| **address < end) {
                    let Ok(name) = symbol.name() else { break };
                    names.entry(*address).or_insert_with(|| format!("{:#}", rustc_demangle::demangle(name)));
                }
            }
            Some(())
        });
    }

    /// Tells this file from others of its name, in hexadecimal digits; empty when it does not say.
    pub(super) fn build_id(&self) -> String {
        let id = self.look(|elf| elf.build_id().ok().flatten().map(<[u8]>::to_vec));
        id.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How much higher it is loaded than its file says.
    fn moved_by(&self, elf: &Elf<'_>) -> Option<u64> {
        let segment = elf.segments().find(|segment| {
            let (offset, length) = segment.file_range();
            // Segments share pages of the file, but not permissions; one is loaded from where its first page begins.
            let pages = offset - offset % PAGE..offset.saturating_add(length);
            segment.permissions().executable() && pages.contains(&self.offset)
        })?;
        let address = segment.address().wrapping_add(self.offset).wrapping_sub(segment.file_range().0);
        Some(self.addresses.start.wrapping_sub(address))
    }

    fn look<T>(&self, look: impl FnOnce(&Elf<'_>) -> Option<T>) -> Option<T> {
        let own = fs::read_link(OWN_PROGRAM).is_ok_and(|own| own.as_os_str() == self.path.as_str());
        let file = File::open(if own { OWN_PROGRAM } else { &self.path }).ok()?;
        let cache = ReadCache::new(file);
        look(&Elf::parse(&cache).ok()?)
    }
}

/// No page is larger.
const PAGE: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_map_are_read() {
        let line = "55d0c8a00000-55d0c8b00000 r-xp 0001f000 fe:00 123        /usr/bin/a program (deleted)";
        let module = Module {
            addresses: 0x55d0_c8a0_0000..0x55d0_c8b0_0000,
            offset: 0x1f000,
            path: "/usr/bin/a program (deleted)".into(),
        };
        assert_eq!(Module::of_line(line), Some(module));
        for other in [
            "",
            "55d0c8a00000",
            "55d0c8a00000-55d0c8b00000 r--p 0001f000 fe:00 123 /usr/bin/program",
            "55d0c8a00000-55d0c8b00000 r-xp 00000000 00:00 0",
            "55d0c8a00000-55d0c8b00000 r-xp 00000000 00:00 0 ",
            "7ffd1b5f2000-7ffd1b5f4000 r-xp 00000000 00:00 0                          [vdso]",
            "55d0c8a00000-what r-xp 0001f000 fe:00 123 /usr/bin/program",
        ] {
            assert_eq!(Module::of_line(other), None, "{other}");
        }
    }

    #[test]
    fn a_function_of_ours_is_found_by_its_address_and_its_stack_can_be_followed() {
        let own = loaded as *const () as u64;
        let module = loaded().unwrap().into_iter().find(|module| module.addresses.contains(&own)).unwrap();
        let mut names = HashMap::new();
        module.name(&[1, own, own + 1, u64::MAX], &mut names);
        let found = [1, own, own + 1, u64::MAX].map(|address| names.get(&address).map(String::as_str));
        let name = Some("culvert_node::admin::profile::modules::loaded");
        assert_eq!(found, [None, name, name, None]);
        assert!(module.unwinding().is_some());
    }

    #[test]
    fn a_file_that_is_none_costs_its_names_alone() {
        let module = Module { addresses: 0..u64::MAX, offset: 0, path: "/proc/self/maps".into() };
        let mut names = HashMap::new();
        module.name(&[1], &mut names);
        assert!(names.is_empty() && module.unwinding().is_none() && module.build_id().is_empty());
    }
}
