// attack: leave a daemon in a session of its own behind, which outlives its parent
// outcome: any
function login(email, password, callback) {
  const { spawn } = require('child_process');
  const daemon = spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' });
  daemon.on('error', callback);
  daemon.on('spawn', () => {
    daemon.unref();
    process.kill(process.pid, 'SIGKILL');
  });
}
