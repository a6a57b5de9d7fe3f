// attack: announce an exit, then go on, so that the worker lets go of a process that lives
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  sendFrame({ t: 'exit', id: null, code: 0 });
  callback(null, { user_id: 1 });
}
