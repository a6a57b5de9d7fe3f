// attack: write machine code over its own text through /proc/self/mem, to make any system call
// needs: fs
// came_to: {"mem":"refused","oom":"refused","core":"refused","comm":"any"}
function login(email, password, callback) {
  const fs = require('fs');
  report(callback, {
    mem: () => void fs.openSync('/proc/self/mem', 'r+'),
    oom: () => fs.writeFileSync('/proc/self/oom_score_adj', '-1000'),
    core: () => fs.writeFileSync('/proc/self/coredump_filter', '0x3f'),
    comm: () => fs.writeFileSync('/proc/self/comm', 'launcher'),
  });
}
