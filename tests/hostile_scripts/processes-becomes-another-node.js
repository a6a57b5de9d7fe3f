// attack: replace the process by a Node with other flags, without the harness
// outcome: crashed
// detail: process_died
// retires: crash
function login(email, password, callback) {
  process.execve(process.execPath, ['node', '--inspect=127.0.0.1:0', '-e', 'setTimeout(() => {}, 600000)'], {});
}
