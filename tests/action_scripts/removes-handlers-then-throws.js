// action: login
// args: ["alice@example.com","correct horse"]
// outcome: crashed
// detail: process_died
// retires: crash
function login(email, password, callback) {
  process.removeAllListeners();
  setTimeout(() => {
    throw new Error('nobody is left to report this');
  }, 1);
}
