// attack: keep the process busy whenever its loop drains, so that a lost callback is never noticed
// deadline: 1
// outcome: any
function login(email, password, callback) {
  process.prependListener('beforeExit', () => setImmediate(() => {}));
}
