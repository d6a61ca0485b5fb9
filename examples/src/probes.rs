//! How to see the probes of a running program: README.adoc has the same.

use std::fmt::Display;
use std::path::Path;

/// Commands for a second terminal, for the program `binary` that runs as `pid`: which probes there are,
/// which connection each claim gets, and how long each is held.
#[must_use]
pub fn one_liners(binary: &Path, pid: u32) -> String {
    if cfg!(target_os = "linux") { on_linux(&binary.display(), &pid) } else { with_dtrace(&pid) }
}

/// Those for bpftrace, which needs root, and gdb, which does not.
#[must_use]
pub fn on_linux(binary: &dyn Display, pid: &dyn Display) -> String {
    format!(
        r#"# the probes
readelf -n {binary} | grep -A 1 'Provider: qorb'
bpftrace -p {pid} -l 'usdt:{binary}:qorb:*'
# each claim: pool, claim, slot, address (bpftrace needs root; gdb does not, and slows the program)
bpftrace -p {pid} -e 'usdt:{binary}:qorb:handle-claimed {{ printf("%s %d %d %s\n", str(arg0), arg1, arg2, str(arg3)); }}'
printf '%s\n' 'set language c' 'break -probe-stap qorb:handle-claimed' commands silent 'printf "%s %d %d %s\n",(char*)$_probe_arg0,$_probe_arg1,$_probe_arg2,(char*)$_probe_arg3' continue end continue | gdb -q -p {pid}
# how long connections are held, in microseconds
bpftrace -p {pid} -e 'usdt:{binary}:qorb:handle-claimed {{ @since[str(arg0), arg2] = nsecs; }} usdt:{binary}:qorb:handle-returned /@since[str(arg0), arg1]/ {{ @held_us = hist((nsecs - @since[str(arg0), arg1]) / 1000); delete(@since[str(arg0), arg1]); }}'
"#
    )
}

/// Those for DTrace, on illumos, macOS and FreeBSD.
#[must_use]
pub fn with_dtrace(pid: &dyn Display) -> String {
    format!(
        r#"# the probes
dtrace -l -n 'qorb{pid}:::'
# each claim: pool, claim, slot, address
dtrace -q -n 'qorb{pid}:::handle-claimed {{ printf("%s %d %d %s\n", copyinstr(arg0), arg1, arg2, copyinstr(arg3)); }}'
# how long connections are held, in microseconds
dtrace -q -n 'qorb{pid}:::handle-claimed {{ since[copyinstr(arg0), arg2] = timestamp; }} qorb{pid}:::handle-returned /since[copyinstr(arg0), arg1]/ {{ @held_us = quantize((timestamp - since[copyinstr(arg0), arg1]) / 1000); since[copyinstr(arg0), arg1] = 0; }}'
"#
    )
}
