// attack: kill its whole process group
// outcome: crashed
// detail: process_died
// retires: crash
function login(email, password, callback) {
  process.kill(0, 'SIGKILL');
  setTimeout(() => callback(null, { user_id: 'survived' }), 2000);
}
