// attack: after the callback, report faults without end while nobody asks anything
// value: {"user_id":1}
// violations: fault_after_callback
// retires: fault_after_callback
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  setImmediate(() => {
    for (let round = 0; round < 3000; round++) {
      sendFrame({ t: 'fault', id: 'x', kind: 'y', error: { message: 'z' } });
    }
  });
}
