function create(user, callback) {
  const crypto = require('crypto');
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  function run(sql, parameters, next) {
    const request = new Request(sql, function (err, rowCount, rows) {
      if (err) return callback(err);
      next(rowCount, rows);
    });
    parameters.forEach(function (one) { request.addParameter(one[0], one[1], one[2]); });
    connection.execSql(request);
  }

  const salt = crypto.randomBytes(16);
  crypto.pbkdf2(user.password, salt, 1000, 32, 'sha1', function (err, key) {
    if (err) return callback(err);
    const hash = Buffer.concat([new Buffer([0]), salt, key]).toString('base64');
    connection.on('connect', function (err) {
      if (err) return callback(err);
      const name = ['UserName', TYPES.VarChar, user.email];
      run('SELECT UserId FROM UserProfile WHERE UserName = @UserName', [name], function (found) {
        if (found > 0) return callback(new ValidationError('user_exists', 'This name is taken.'));
        run('INSERT INTO UserProfile (UserName) VALUES (@UserName)', [name], function () {
          run('SELECT UserId FROM UserProfile WHERE UserName = @UserName', [name], function (count, rows) {
            run(
              "INSERT INTO webpages_Membership (UserId, CreateDate, IsConfirmed, Password, PasswordSalt) VALUES (@UserId, GETDATE(), 0, @Password, '')",
              [['UserId', TYPES.VarChar, rows[0][0].value], ['Password', TYPES.VarChar, hash]],
              function (count) { callback(null, count > 0); }
            );
          });
        });
      });
    });
  });
}
