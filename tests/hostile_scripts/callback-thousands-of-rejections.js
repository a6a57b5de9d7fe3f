// attack: reject ten thousand promises after the callback, each a fault to be told
// value: {"user_id":1}
// violations: any
// retires: any
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  setTimeout(() => {
    for (let round = 0; round < 1e4; round++) Promise.reject(new Error(`no ${round}`));
  }, 20);
}
