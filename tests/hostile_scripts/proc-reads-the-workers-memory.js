// attack: read and write the memory of worker, launcher and neighbour
// needs: fs
// came_to: {"worker":"refused","launcher":"refused","neighbour":"refused","write":"refused"}
function login(email, password, callback) {
  const open = (pid, how) => () => void require('fs').openSync(`/proc/${pid}/mem`, how);
  report(callback, {
    worker: open(configuration.worker, 'r'),
    launcher: open(configuration.launcher, 'r'),
    neighbour: open(configuration.neighbour, 'r'),
    write: open(configuration.neighbour, 'r+'),
  });
}
