"""3 x 3 convolution with 4 times fewer multiplications: Winograd's F(4 x 4, 3 x 3).

**The product of two polynomials.**  Let g(x) = g0 + g1 x + g2 x^2 and y(x) = y0 + ... + y3 x^3.
Their product s(x) has the six coefficients

    s_i = sum over k of g_k y_(i - k).

Six values fix a polynomial of degree 5.  So choose six points, evaluate both factors there,
multiply (six products instead of twelve) and interpolate.  Evaluation is linear in each factor, and
so is interpolation:

    s = C ((G g) * (A y)),

with * value by value, A (6 x 4) with the powers x^0 ... x^3 of every point in a row, and C (6 x 6)
the interpolation.  (G is the evaluation of g with the denominators of the interpolation moved into
it.)  Infinity serves as a point too: the value there is the leading coefficient.

**Its transpose is the convolution.**  For fixed g the map y -> s is linear: s = C diag(G g) A y.
It is the matrix S with S_ij = g_(i - j).  Four outputs of the filter over six inputs are

    o_j = sum over k of g_k d_(j + k) = sum over i of S_ij d_i,

that is o = S^T d.  Transposing the factors turns their order round and costs no product more:

    o = A^T ((G g) * (B^T d)),   B = C.

With the points 0, 1, -1, 1/2, -2 and infinity

    A^T = 1  1  1   1   1  0    G =   1      0      0      B^T = 1 -3/2   -2  3/2   1   0
          0  1 -1 1/2  -2  0         1/3    1/3    1/3          0   -1  1/2  5/2   1   0
          0  1  1 1/4   4  0        -1/3    1/3   -1/3          0    1 -5/2  1/2   1   0
          0  1 -1 1/8  -8  1      -16/15  -8/15  -4/15          0   -2   -1    2   1   0
                                    1/15  -2/15   4/15          0  1/2   -1 -1/2   1   0
                                     0      0      1            0    1 -3/2   -2 3/2   1

Applied along rows and along columns, a tile of 6 x 6 inputs and the 3 x 3 filter are transformed to
36 coefficients each, and their 36 products to 4 x 4 outputs, where the direct sum has 144 products.

**The weight gradient** is the same bilinear map, transposed in g instead of y.  With do the
gradient of the four outputs, the sum over j of do_j o_j is (A do)^T ((G g) * (B^T d)), whose
gradient by g is

    dg = G^T ((A do) * (B^T d)):

again six products, summed over all tiles of the batch before G^T combines them.

Points close to 1 in magnitude keep rounding small: in float32, on random numbers, errors are about
three times those of the direct sum.  Products of a tile that cancel in exact arithmetic leave
rounding errors, and an infinite pixel makes NaN of anything in its tile.

Sources: S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, 2015,
arXiv:1509.09308; on the choice of points B. Barabasz et al., 2018, arXiv:1803.10986.

Read ``tiles`` (the transforms, in registers), then ``filters``, ``correlation``, ``gradient`` and
``plan``.
"""
