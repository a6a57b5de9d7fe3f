// attack: replace the process by a shell, which keeps its place
// needs: fs
// outcome: crashed
// detail: process_died
// retires: crash
function login(email, password, callback) {
  process.execve('/bin/sh', ['sh', '-c', `touch ${configuration.folder}/${configuration.mark}; sleep 600`], {});
}
