// attack: make another process listen for a debugger, by SIGUSR1
// needs: full
// came_to: {"neighbour":"refused","debug":"refused","worker":"refused"}
function login(email, password, callback) {
  report(callback, {
    neighbour: () => void process.kill(Number(configuration.neighbour), 'SIGUSR1'),
    debug: () => process._debugProcess(Number(configuration.neighbour)),
    worker: () => process._debugProcess(Number(configuration.worker)),
  });
}
