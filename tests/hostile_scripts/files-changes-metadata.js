// attack: change modes, owners, times and lengths of files that it may not write
// needs: full
// came_to: {"chmod":"refused","chown":"refused","utimes":"refused","truncate":"refused","fchmod":["refused","EBADF"]}
function login(email, password, callback) {
  const fs = require('fs');
  const file = configuration.secret_file;
  report(callback, {
    chmod: () => fs.chmodSync(file, 0o666),
    chown: () => fs.chownSync(file, process.getuid(), process.getgid()),
    utimes: () => fs.utimesSync(file, 1, 1),
    truncate: () => fs.truncateSync(file, 0),
    fchmod: () => fs.fchmodSync(3, 0o666),
  });
}
