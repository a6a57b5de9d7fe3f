// attack: close every descriptor, the loop's own among them
// outcome: crashed
// detail: process_died
// retires: crash
function login(email, password, callback) {
  for (let fd = 255; fd >= 0; fd--) {
    try {
      require('fs').closeSync(fd);
    } catch {}
  }
  callback(null, { user_id: 1 });
}
