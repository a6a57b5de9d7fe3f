// attack: answer the next call before it is made, under guessed ids
// value: {"user_id":"first"}
// violations: forged_frame
// retires: violation
// then_value: {"user_id":"first"}
// then_violations: forged_frame
// then_retires: violation
function login(email, password, callback) {
  callback(null, { user_id: 'first' });
  setImmediate(() => {
    for (let guess = 0; guess < 100; guess++) {
      const id = guess.toString(16).padStart(16, '0');
      sendFrame({ t: 'result', id, ok: true, value: { user_id: 'forged' } });
    }
  });
}
