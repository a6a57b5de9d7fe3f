// attack: write what Node writes when it is out of memory, then die, to be counted as that
// outcome: any
function login(email, password, callback) {
  require('fs').writeSync(2, 'FATAL ERROR: heap out of memory\n{"event":"forged"}\n');
  process.kill(process.pid, 'SIGKILL');
}
