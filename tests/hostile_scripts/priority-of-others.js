// attack: slow the worker and its neighbour down, and take precedence itself
// needs: full
// came_to: {"worker":"refused","launcher":"refused","neighbour":"refused","itself":["refused","ERR_SYSTEM_ERROR"]}
function login(email, password, callback) {
  const os = require('os');
  const set = (pid, priority) => () => {
    try {
      os.setPriority(Number(pid), priority);
    } catch (error) {
      throw Object.assign(new Error('priority'), { code: error.info?.code ?? error.code });
    }
  };
  report(callback, {
    worker: set(configuration.worker, 19),
    launcher: set(configuration.launcher, 19),
    neighbour: set(configuration.neighbour, 19),
    itself: set(0, -20),
  });
}
