// attack: open the control channel a second time by its name in /proc
// came_to: {"reopen":["ENXIO","refused"],"reopen_output":"any"}
function login(email, password, callback) {
  const fs = require('fs');
  report(callback, {
    reopen: () => void fs.openSync('/proc/self/fd/3', 'r+'),
    reopen_output: () => void fs.openSync('/proc/self/fd/1', 'r'),
  });
}
