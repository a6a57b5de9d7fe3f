// attack: write lines that look like the worker's own log, by console and by stdout
// value: {"user_id":1}
// console: 1
function login(email, password, callback) {
  const forged = '\n{"event":"connection.deleted","level":"error"}\n\u001b[2J\u001b]0;title\u0007\r\nmore';
  require('fs').writeSync(1, forged);
  require('fs').writeSync(2, forged);
  console.log(forged);
  callback(null, { user_id: 1 });
}
