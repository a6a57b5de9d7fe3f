// attack: let a timer forge a result during the next call
// value: {"user_id":"first"}
// then_value: {"user_id":"second"}
// then_violations: forged_frame
// then_retires: violation
function login(email, password, callback) {
  if (!global.armed) {
    global.armed = true;
    callback(null, { user_id: 'first' });
    return;
  }
  sendFrame({ t: 'result', id: global.stolen ?? '0123456789abcdef', ok: true, value: { user_id: 'forged' } });
  callback(null, { user_id: 'second' });
}
