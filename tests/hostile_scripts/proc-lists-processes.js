// attack: find out who else runs here
// needs: fs
// came_to: {"list":"refused","net":"refused","mounts":"any"}
function login(email, password, callback) {
  const fs = require('fs');
  report(callback, {
    list: () => fs.readdirSync('/proc').length && 'listed',
    net: () => void fs.readFileSync(`/proc/${configuration.worker}/net/tcp`),
    mounts: () => void fs.readFileSync('/proc/self/mountinfo'),
  });
}
