// attack: end worker, launcher, parent and neighbour by signals
// needs: full
// came_to: {"worker":"refused","launcher":"refused","parent":"refused","neighbour":"refused","stop":"refused","all":["refused","ESRCH"]}
function login(email, password, callback) {
  const kill = (pid, signal) => () => void process.kill(Number(pid), signal);
  report(callback, {
    worker: kill(configuration.worker, 'SIGKILL'),
    launcher: kill(configuration.launcher, 'SIGTERM'),
    parent: kill(process.ppid, 'SIGKILL'),
    neighbour: kill(configuration.neighbour, 'SIGKILL'),
    stop: kill(configuration.worker, 'SIGSTOP'),
    all: kill(-1, 'SIGTERM'),
  });
}
