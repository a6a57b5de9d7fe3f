// attack: return a thenable that calls back, rejects and resolves for ever
// outcome: any
function login(email, password, callback) {
  return {
    then(resolve, reject) {
      callback(null, { user_id: 1 });
      reject(new Error('x'));
      resolve(this);
      throw new Error('y');
    },
  };
}
