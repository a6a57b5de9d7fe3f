// attack: open the descriptors of another connection's process and of the worker
// needs: fs
// came_to: {"channel":"refused","output":"refused","worker":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  report(callback, {
    channel: () => void fs.openSync(`/proc/${configuration.neighbour}/fd/3`, 'r+'),
    output: () => void fs.openSync(`/proc/${configuration.neighbour}/fd/1`, 'w'),
    worker: () => void fs.openSync(`/proc/${configuration.worker}/fd/2`, 'w'),
  });
}
