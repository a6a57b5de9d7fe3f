// attack: put console lines and violations under the id of a call that is not its own
// value: {"user_id":1}
// violations: callback_twice
// retires: violation
// console: 0
function login(email, password, callback) {
  const id = 'abcdefabcdefabcd';
  sendFrame({ t: 'log', id, level: 'log', text: 'not mine', truncated: false });
  sendFrame({ t: 'log', id: null, level: 'log', text: 'nobody', truncated: false });
  sendFrame({ t: 'violation', id, kind: 'callback_twice', message: 'm' });
  callback(null, { user_id: 1 });
}
