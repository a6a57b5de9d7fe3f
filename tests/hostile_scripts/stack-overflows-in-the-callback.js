// attack: call back with no stack left, so that the harness fails half way
// outcome: any
function login(email, password, callback) {
  const deeper = () => {
    try {
      deeper();
    } catch {
      callback(null, { user_id: 1 });
    }
  };
  deeper();
}
