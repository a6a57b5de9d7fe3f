// attack: report thousands of broken rules under no id, each of which is logged
// outcome: succeeded
// value: {"user_id":1}
// violations: late_callback
// retires: violation
function login(email, password, callback) {
  for (let round = 0; round < 3000; round++) {
    sendFrame({ t: 'violation', id: null, kind: 'late_callback', message: 'x'.repeat(100) });
  }
  callback(null, { user_id: 1 });
}
