// attack: write to the kernel's switches
// came_to: {"sysrq":"refused","core":"refused","drop":"refused","cgroup":"refused"}
// needs: fs
function login(email, password, callback) {
  const fs = require('fs');
  report(callback, {
    sysrq: () => void fs.openSync('/proc/sysrq-trigger', 'r+'),
    core: () => void fs.openSync('/proc/sys/kernel/core_pattern', 'r+'),
    drop: () => void fs.openSync('/proc/sys/vm/drop_caches', 'r+'),
    cgroup: () => void fs.openSync('/sys/fs/cgroup/cgroup.procs', 'r+'),
  });
}
