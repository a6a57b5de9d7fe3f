// attack: find out which processes there are by signal 0
// needs: full
// came_to: {"worker":"refused","first":"refused","neighbour":"refused"}
function login(email, password, callback) {
  const probe = (pid) => () => void process.kill(Number(pid), 0);
  report(callback, { worker: probe(configuration.worker), first: probe(1), neighbour: probe(configuration.neighbour) });
}
